"""The house: axes, selections, indexes, the one place that reads, the one place that writes.

Knows no format's name. Imports numpy, the standard library, `galvo.native` and, where bytes are
decoded (`codec`), imagecodecs.
"""
