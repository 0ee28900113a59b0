"""`galvo.preview` is a package and the function of that name."""

import subprocess
import sys

import numpy as np

import galvo
from galvo.preview.show import Preview


def test_the_package_is_the_function():
    made = galvo.preview(np.zeros((3, 4, 4), np.uint8), size=8)
    assert isinstance(made, Preview)
    assert galvo.preview.Preview is Preview
    from galvo.preview import preview

    assert preview(np.zeros((3, 4, 4), np.uint8), size=8).notes == made.notes


def test_it_is_callable_whatever_was_imported_first():
    code = (
        "import galvo.preview.summary, galvo, numpy, sys\n"
        "assert 'PIL' not in sys.modules\n"
        "print(galvo.preview(numpy.zeros((3, 4, 4)), size=8).notes)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "('all 3 frames',)"
