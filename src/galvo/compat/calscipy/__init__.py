"""CalSciPy's modules: `io_tools` loads and saves images in one line."""

from __future__ import annotations

from galvo.compat.calscipy.io_tools import (
    load_binary,
    load_gif,
    load_images,
    load_video,
    save_binary,
    save_gif,
    save_images,
    save_video,
)

__all__ = [
    "load_binary",
    "load_gif",
    "load_images",
    "load_video",
    "save_binary",
    "save_gif",
    "save_images",
    "save_video",
]
