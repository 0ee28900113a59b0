"""Octave reads what is written, and what Octave saves is read."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

import galvo

OCTAVE = shutil.which("octave-cli")
if OCTAVE is None:
    pytest.skip("no octave-cli", allow_module_level=True)

CLASSES = {"u1": "uint8", "<i2": "int16", "<u2": "uint16", "<f4": "single", "<f8": "double", "?": "logical"}
DTYPES = [*CLASSES, "<u8"]

SAVE = """
x = reshape(uint16(0:7*6*5-1), [7 6 5]);
d = double(x)/3; s = single(d); i = int16(x)-50; b = mod(x,2)==0; c = complex(d,-2*d);
p = d(:,:,2); q = complex(p,-2*p);
save('-v4','4.mat','p','q');
for kind = {'6','7'}
  save(['-v' kind{1}],[kind{1} '.mat'],'x','d','s','i','b','c','p');
end
save('-hdf5','octave.h5','x','d','s','i');
"""

LOAD = """
files = [glob('*.mat'); glob('*.h5')];
for k = 1:numel(files)
  held = load(files{k});
  for n = 1:2
    pixels = held.(sprintf('ch%d',n));
    printf('%s %d %s %s\\n', files{k}, n, class(pixels), mat2str(size(pixels)));
    out = fopen(sprintf('%s.%d.raw', files{k}, n), 'w');
    fwrite(out, double(real(pixels)), 'double');
    if iscomplex(pixels); fwrite(out, double(imag(pixels)), 'double'); end
    fclose(out);
  end
end
"""


def run(script, folder):
    (folder / "script.m").write_text(script)
    done = subprocess.run(
        [OCTAVE, "--norc", "--no-history", "script.m"], cwd=folder, capture_output=True, text=True, check=False
    )
    # some builds complain when they exit, behind all that was asked of them
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_octave_saves_is_read(tmp_path):
    run(SAVE, tmp_path)
    x = np.arange(7 * 6 * 5, dtype="u2").reshape(5, 6, 7).transpose(0, 2, 1)
    d = x / 3
    arrays = {"x": x, "d": d, "s": d.astype("f4"), "i": x.astype("i2") - np.int16(50), "b": x % 2 == 0, "c": d - 2j * d}
    for name, expected in arrays.items():
        for path in (tmp_path / "6.mat", tmp_path / "7.mat"):
            found = galvo.load(path, variable=name, axes="YXT")
            assert found.dtype == expected.dtype, (path.name, name)
            np.testing.assert_array_equal(found, expected)
        if name in "xdsi":
            found = galvo.load(tmp_path / "octave.h5", dataset=f"{name}/value", axes="TXY")
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
    for name, expected in (("p", d[1]), ("q", d[1] - 2j * d[1])):
        np.testing.assert_array_equal(galvo.load(tmp_path / "4.mat", variable=name), expected)


def test_octave_reads_what_is_written(tmp_path):
    """Numbers of every class; of version 7.3 and HDF5 it takes single for double and logical for uint8."""
    rng = np.random.default_rng(0)
    written = {}
    for number, dtype in enumerate(DTYPES):
        planes = 1 + number % 3
        pixels = (rng.random((5, 2, planes, 8, 6)) * 200).astype(dtype)
        for version in ("5", "7", "7.3"):
            written[f"{version}-{number}.mat"] = (pixels, version)
            galvo.save(pixels, tmp_path / f"{version}-{number}.mat", version=version)
    written["deflated.mat"] = (pixels, "7.3")
    galvo.save(pixels, tmp_path / "deflated.mat", version="7.3", compression="gzip")
    written["complex.mat"] = ((rng.random((5, 2, 1, 8, 6)) - 0.5j).astype("c8"), "7.3")
    galvo.save(written["complex.mat"][0], tmp_path / "complex.mat", version="7.3")
    written["movie.h5"] = (written["7-1.mat"][0], "HDF5")
    galvo.save(written["movie.h5"][0], tmp_path / "movie.h5")
    lines = [line.split(maxsplit=3) for line in run(LOAD, tmp_path).splitlines()]
    assert len(lines) == 2 * len(written)
    for name, channel, kind, size in lines:
        pixels, version = written[name]
        stack = pixels[:, int(channel) - 1]
        # T Z Y X is what Octave shows as X Y Z T in HDF5, and Y X Z T in MATLAB's own
        shown = stack.transpose(3, 2, 1, 0) if version == "HDF5" else stack.transpose(2, 3, 1, 0)
        shown = shown[:, :, 0] if pixels.shape[2] == 1 else shown
        assert size == "[" + " ".join(map(str, shown.shape)) + "]", name
        if version in ("5", "7"):
            assert kind == CLASSES.get(pixels.dtype.str.replace("|b1", "?").replace("|", ""), "uint64"), name
        raw = np.fromfile(tmp_path / f"{name}.{channel}.raw")
        parts = [shown.real, shown.imag] if pixels.dtype.kind == "c" else [shown]
        np.testing.assert_array_equal(raw, np.concatenate([part.ravel("F") for part in parts]), err_msg=name)
