"""Quantities as the verbs say them: as everything that talks to people does."""

from galvo.text import byte_text, count_text, duration_text, number_text, printable, shape_text, sizes_text

__all__ = ["byte_text", "count_text", "duration_text", "number_text", "printable", "shape_text", "sizes_text"]
