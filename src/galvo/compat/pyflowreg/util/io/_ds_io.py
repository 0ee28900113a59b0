"""pyflowreg.util.io._ds_io: how datasets are found and named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from galvo.formats.hdf5.discovery import names_of_movie
from galvo.formats.hdf5.sink import dataset_name

__all__ = ["DSFileReader", "DSFileWriter"]


class DSFileReader:
    """Finds the datasets that are the channels of a recording."""

    def _find_datasets(self, datasets_with_info: Iterable[tuple[str, tuple[int, ...]]]) -> list[str]:
        """Names of the channels, in order, by galvo's rule for HDF5; none where several datasets could be it.

        Parameters
        ----------
        datasets_with_info : iterable of (str, tuple of int)
            Names and shapes.
        """
        names = {f"/{name.lstrip('/')}": (name, shape) for name, shape in datasets_with_info}
        found = names_of_movie({path: tuple(shape) for path, (_, shape) in names.items() if 3 <= len(shape) <= 5})
        return [names[path][0] for path in found]


class DSFileWriter:
    """Names the datasets of channels.

    Parameters
    ----------
    dataset_names : str or list of str, optional
        One for each channel; or one with ``*`` for its number, "ch*" by default; or one that the number is put behind
        where there are several channels.
    dimension_ordering : (int, int, int)
        Where H, W and T stand among the stored axes.
    **kwargs
        Not used.
    """

    def __init__(
        self,
        *,
        dataset_names: str | Sequence[str] | None = None,
        dimension_ordering: Sequence[int] = (0, 1, 2),
        **kwargs: Any,
    ) -> None:
        self.dataset_names = dataset_names
        self.dimension_ordering = dimension_ordering

    def get_ds_name(self, channel_id: int, n_channels: int) -> str:
        """The name of the dataset of a channel, counted from 1.

        Raises
        ------
        ValueError
            `dataset_names` does not have `n_channels` names.
        """
        wanted = "ch*" if self.dataset_names is None else self.dataset_names
        if isinstance(wanted, str):
            return dataset_name(wanted.strip("/"), channel_id, n_channels)
        if len(wanted) != n_channels:
            raise ValueError(f"{len(wanted)} dataset names for {n_channels} channels: each needs one")
        return wanted[channel_id - 1]
