from galvo.core.registry import Format
FORMAT = Format(name="hdf5", title="x", suffixes=(".h5",), detect=lambda p: False, open=lambda p: None)
