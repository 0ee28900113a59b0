"""Genuine multi-ROI headers: what their ROI groups promise holds on pages of the size that the microscope wrote."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import galvo
from galvo.formats.scanimage.fields import find_fields
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.packing import Packing, flyback_rows, pack, read_scanner
from galvo.formats.scanimage.rois import parse_rois
from galvo.formats.scanimage.stacks import read_timeline
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording
from galvo.testing.scanimage_literals import Cell, Literal, render_json, render_matlab

MESOSCOPE = Path("scanimage_mroi") / "sofroniewn_mesoscope"
BERGAMO = Path("scanimage_headers") / "aind_bergamo_example_metadata.txt.gz"
TIMESERIES = Path("scanimage_headers") / "aind_mesoscope_example_timeseries_meta.json"


def literals(tree: dict[str, Any], prefix: str = "SI") -> dict[str, str]:
    """Every plain value of a nested header as a MATLAB literal, by dotted key."""
    found: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= literals(value, f"{prefix}.{key}")
        elif isinstance(value, str) and value.strip("_") in ("Inf", "NaN"):
            found[f"{prefix}.{key}"] = value.strip("_")
        elif isinstance(value, str | int | float):
            found[f"{prefix}.{key}"] = render_matlab(value, 10)
        elif value and all(isinstance(item, str) for item in value):
            found[f"{prefix}.{key}"] = render_matlab(Cell(tuple(value)))
    return found


def rois_of(entries: list[dict[str, Any]]) -> list[RoiRequest]:
    rois = []
    for entry in entries:
        depths = entry["zs"] if isinstance(entry["zs"], list) else [entry["zs"]]
        fields = entry["scanfields"] if isinstance(entry["scanfields"], list) else [entry["scanfields"]]
        rois.append(
            RoiRequest(
                name=entry["name"],
                zs=tuple(depths),
                discrete=bool(entry["discretePlaneMode"]),
                scanfields=tuple(
                    ScanfieldRequest(
                        center_deg=tuple(field["centerXY"]),
                        size_deg=tuple(field["sizeXY"]),
                        pixels=tuple(field["pixelResolutionXY"]),
                    )
                    for field in fields
                ),
            )
        )
    return rois


@pytest.fixture(scope="module")
def mesoscope(sample_data, tmp_path_factory):
    """The nine strips of a mesoscope, packed as its header says, and the frames that their authors put together."""
    folder = sample_data / MESOSCOPE
    if not folder.is_dir():
        pytest.skip("the genuine mesoscope recording is absent")
    tree = json.loads((folder / "input" / "metadata.json").read_text())
    group = tree.pop("imagingRoiGroup")
    rois = rois_of(group["rois"])
    frames = np.stack([tifffile.imread(path) for path in sorted((folder / "output").glob("image-*.tif"))])
    assert frames.shape == (8, 464, 576)
    # 9 x 464 rows and 8 gaps of 61 mirror periods, two lines each: the size that its authors' reader states
    height, width = 5152, 64

    class Mesoscope(ScanImageRecording):
        def roi_text(self) -> str:
            return json.dumps({"imagingRoiGroup": group, "photostimRoiGroups": None})

    stated = literals(tree)
    own = ScanImageRecording(version="2015", rois=tuple(rois))
    mine = [line.partition(" = ")[0].removeprefix("scanimage.") for line in own.header_text().splitlines()]
    truth = Mesoscope(
        version="2015",
        rois=tuple(rois),
        height=height,
        width=width,
        frames=len(frames),
        dtype="uint16",
        frame_rate_hz=tree["hRoiManager"]["scanFrameRate"],
        extra_header=stated,
        omit_header=tuple(key for key in mine if key not in stated),
    )
    centers = [roi.scanfields[0].center_deg[0] for roi in rois]
    order = np.argsort(centers).tolist()

    def pack(first: int, stop: int) -> np.ndarray:
        pages = np.full((stop - first, 1, height, width), 0xDEAD, np.uint16)
        for position, number in enumerate(order):
            top = number * (464 + 122)
            pages[:, 0, top : top + 464] = frames[first:stop, :, position * 64 : (position + 1) * 64]
        return pages

    path = truth.write(tmp_path_factory.mktemp("mesoscope"), pixels=pack)[0]
    with galvo.open(path) as rec:
        yield rec, frames, order


def test_nine_strips_of_a_mesoscope_make_the_frames_again(mesoscope):
    rec, frames, order = mesoscope
    assert rec.shape == (8, 1, 1, 5152, 64)
    assert len(rec.fields) == 9
    assert sorted(range(9), key=lambda number: rec.fields[number].field.center_deg[1]) == order
    strips = [rec.fields[number][:, 0, 0] for number in order]
    np.testing.assert_array_equal(np.concatenate(strips, axis=-1), frames)


def test_the_strips_lie_where_their_microscopist_found_them(mesoscope):
    rec, frames, order = mesoscope
    stitched = rec.stitched()
    # output/metadata.json: 5.4801645840899988 x 4.41 mm
    size = [pixels * step for pixels, step in zip(stitched.shape[3:], stitched.pixel_size_um, strict=True)]
    assert size == pytest.approx([4410, 5480.1645840899988], abs=rec.fields[0].pixel_size_um[1])
    for position, number in enumerate(order):
        field = rec.fields[number].field
        left = round((field.corner_deg[1] - rec.fields[order[0]].field.corner_deg[1]) / (3.866077308 / 64))
        tail = 63 if number == order[-1] else 62
        np.testing.assert_array_equal(
            stitched[:, 0, 0, :, left + 1 : left + tail], frames[:, :, position * 64 + 1 : position * 64 + tail]
        )
        assert field.z_um == 425
        assert field.size_um == pytest.approx((28 * 157.5, 3.866077308 * 157.5))


class Timeseries(ScanImageRecording):
    """Headers and ROI groups as they were written."""

    genuine: tuple[str, str]

    def header_text(self) -> str:
        return self.genuine[0]

    def roi_text(self) -> str:
        return self.genuine[1]


def test_a_mesoscope_of_four_discrete_planes(sample_data, tmp_path):
    path = sample_data / TIMESERIES
    if not path.is_file():
        pytest.skip("the genuine mesoscope header is absent")
    header, groups, *_ = json.loads(path.read_text())
    text = render_json({key: Literal(json.dumps(value)) for key, value in header.items()})
    Timeseries.genuine = (text, json.dumps(groups))
    assert header["SI.hStackManager.zs"] == [195, 207, 167, 183]
    truth = Timeseries(
        rois=tuple(rois_of(groups["RoiGroups"]["imagingRoiGroup"]["rois"])),
        version="2020",
        channels=(1, 2),
        channel_names=("Channel 1", "Channel 2"),
        zs=(195.0, 207.0, 167.0, 183.0),
        volumes=3,
        frame_rate_hz=header["SI.hRoiManager.scanFrameRate"],
        height=512,
        width=512,
        json_header=True,
    )
    with pytest.warns(galvo.errors.GalvoWarning, match=r"3 volumes.*200000") as caught:
        rec = galvo.open(truth.write(tmp_path)[0])
    with rec:
        # no warning of lines: 512 and 61 periods of flyback, two each, are 0.0263811 / 4.16106e-05 = 634
        assert len(caught) == 1
        assert [(field.field.name, field.field.z_um) for field in rec.fields] == [
            ("V1_anterior", 195.0), ("AL", 207.0), ("AM", 167.0), ("PM", 183.0),
        ]  # fmt: skip
        pages = truth.expected()
        for plane, field in enumerate(rec.fields):
            np.testing.assert_array_equal(field[...], pages[:, :, plane : plane + 1])
            assert field.pixel_size_um == pytest.approx((2.547770701 * 157 / 512,) * 2)
            starts = field.field.line_times_s()[0] * header["SI.hRoiManager.scanFrameRate"]
            assert starts == pytest.approx(plane, rel=1e-4)


def packed(header: Header, rois: str, size: tuple[int, int]) -> Packing | None:
    """How the regions of a genuine header lie on its pages; a warning is an error here."""
    depths = header.numbers("SI.hStackManager.zs")
    return pack(parse_rois(rois, "a.tif"), depths, read_scanner(header), size, "a.tif")


def test_a_resonant_header_without_multi_roi_keeps_the_identities_too(sample_data):
    path = sample_data / BERGAMO
    if not path.is_file():
        pytest.skip("the genuine header is absent")
    text, brace, groups = gzip.decompress(path.read_bytes()).decode().partition("\n{")
    header = Header(text)
    assert not header.flag("SI.hRoiManager.mroiEnable")
    (field,) = find_fields(header, brace + groups, read_timeline(header, "a.tif"), (512, 512), 0, "a.tif")
    assert field.size_um == pytest.approx((270, 270))
    # 512 rows and 8 periods back, two lines each, are 0.0333201 / 6.31062e-05 = 528 lines
    assert flyback_rows(read_scanner(header), 512) == 16
    packing = packed(header, brace + groups, (512, 512))
    assert (packing.height, packing.width) == (512, 512)
    assert [len(plane) for plane in packing.planes] == [1]


@pytest.mark.parametrize("folder", ["multi_file", "single_file_no_flyback"])
def test_recordings_of_one_field_keep_the_identities_too(sample_data, folder):
    paths = sorted((sample_data / "scanimage" / "catalystneuro" / f"volumetric_single_channel_{folder}").glob("*.tif"))
    if not paths:
        pytest.skip("the genuine recordings are absent")
    for path in paths:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            header, groups, size = Header(page.software), page.tags[315].value, page.shape
        packing = packed(header, groups, size)
        assert (packing.height, packing.width) == size
        assert {len(plane) for plane in packing.planes} == {1}


def test_the_line_phase_of_genuine_frames(mesoscope):
    rec, frames, _ = mesoscope
    assert abs(rec.estimate_bidirectional_phase(most=8)) < 0.25
    still = galvo.open(frames).estimate_bidirectional_phase()
    for shift in (2, -3):
        wrong = frames.copy()
        wrong[:, 1::2] = np.roll(wrong[:, 1::2], shift, axis=-1)
        with galvo.open(wrong) as moved:
            assert moved.estimate_bidirectional_phase() == pytest.approx(still + shift, abs=0.01)
            inner = (slice(None), 0, 0, slice(None), slice(4, -4))
            np.testing.assert_array_equal(moved.with_bidirectional_phase()[inner], frames[:, :, 4:-4])
