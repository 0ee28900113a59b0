"""The names that an output takes: one file, several, or a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from galvo.core.atomic import guard_destination, partial_path

__all__ = ["Target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The names that an output takes.

    Attributes
    ----------
    final : str
        What the user called it; the journal lies beside it.
    files : tuple of str
        Final paths of its files; none where `final` is a folder.
    members : re.Pattern, optional
        What the names of the files in a folder match; a folder that holds anything else is not replaced.
    """

    final: str
    files: tuple[str, ...] = ()
    members: re.Pattern[str] | None = None

    @property
    def places(self) -> tuple[str, ...]:
        """What appears in the end."""
        return self.files or (self.final,)

    @property
    def partials(self) -> tuple[str, ...]:
        """Where they are written."""
        return tuple(map(partial_path, self.places))

    def to_json(self) -> dict[str, Any]:
        """What a journal keeps of it, relative to the folder that it lies in."""
        folder = os.path.dirname(self.final)
        members = None if self.members is None else self.members.pattern
        return {"files": [os.path.relpath(name, folder or os.curdir) for name in self.files], "members": members}

    @classmethod
    def from_json(cls, final: str, stored: dict[str, Any]) -> Target:
        """The target of a journal."""
        files = tuple(os.path.join(os.path.dirname(final), name) for name in stored["files"])
        return cls(final=final, files=files, members=stored["members"] and re.compile(stored["members"]))

    def guard(self, sources: Sequence[str], overwrite: bool) -> None:
        """Refuse what would destroy something (`atomic.guard_destination`)."""
        for place in self.places:
            guard_destination(place, sources, overwrite, self.members)
