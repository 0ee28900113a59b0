"""PYME's modules: `PZFFormat` stands for PYME.IO.PZFFormat."""
