"""Pictures of recordings, made of a sample of their frames: ``galvo.preview(recording, out)``.

The package is the function too: both have the name by which people look for them.
`summary` computes images of sampled frames, `picture` makes pictures of images, `views` chooses what is shown,
`sheet` and `movie` show it, `notebook` is the card of a recording.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galvo.core.recording import Recording
    from galvo.preview.show import Preview, preview

__all__ = ["Preview", "card", "preview"]


def card(recording: Recording) -> str:
    """What notebooks show of a recording, as HTML; see `galvo.preview.notebook.card_html`."""
    from galvo.preview.notebook import card_html

    return card_html(recording)


def __getattr__(name: str) -> Any:
    if name not in ("Preview", "preview"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from galvo.preview import show

    return getattr(show, name)


class _Package(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Preview:
        """A contact sheet or a movie of a recording; see `galvo.preview.preview`."""
        from galvo.preview.show import preview

        return preview(*arguments, **options)


sys.modules[__name__].__class__ = _Package
