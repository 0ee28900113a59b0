"""scanreader over galvo: ScanImage scans as 5-D arrays (field, y, x, channel, frame).

Source: scanreader's documentation and behaviour; what differs is in docs/coming-from/scanreader.md.
"""

from galvo.compat.scanreader import core, exceptions, multiroi, scans
from galvo.compat.scanreader.core import read_scan

__all__ = ["core", "exceptions", "multiroi", "read_scan", "scans"]
