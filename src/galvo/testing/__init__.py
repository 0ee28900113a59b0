"""Shipped with galvo: recordings with known truth, byte builders, and the suite that every format passes."""
