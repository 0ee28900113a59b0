"""Motion: displacement fields of frames against a reference, and frames warped by them."""
