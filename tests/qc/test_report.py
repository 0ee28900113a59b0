"""Reports against the corrections that they are of."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import galvo
from galvo.cli.group import group
from galvo.core.recording import Recording
from galvo.errors import Malformed, NotFound, OptionError, WriteError
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording

from .conftest import NOISY
from .parsed import parsed, pixels_of

RIGID = {"estimator": "rigid"}
HOSTILE = '"><img src=x onerror=alert(1)>', "</script><script>alert('\u202e')</script>&amp;"


@pytest.fixture(scope="module")
def page(corrected):
    return parsed(corrected.page)


@pytest.fixture(scope="module")
def correction(corrected):
    with galvo.open_correction(corrected.motion, corrected.raw) as found:
        # opened here, not in a test
        found.recording[0]
        yield found


def run(*words):
    return CliRunner().invoke(group, [str(word) for word in words])


def sentences(page):
    return [row.all("span")[-1].text for row in page.one("ul", class_="remarks").all("li")]


def lines_of(page, title):
    """The points (N, 2) of the line of a chart, in units of its drawing."""
    (chart,) = [
        figure for figure in page.all("figure", class_="time") if figure.one("figcaption").text.startswith(title)
    ]
    path = chart.one("path", class_="line").attributes["d"]
    return np.array([point.split() for point in re.findall(r"[ML]([-\d.]+ [-\d.]+)", path)], float)


def assert_follows(points, values):
    """Points are values in order of time, from the top down, to the precision of the drawing."""
    values = np.asarray(values, float)
    assert len(points) == len(values)
    assert np.allclose(points[:, 0], (np.arange(len(values)) + 0.5) / len(values) * 1000, atol=0.06)
    slope, level = np.polyfit(values, points[:, 1], 1)
    assert slope < 0
    assert np.allclose(slope * values + level, points[:, 1], atol=0.1)


def test_is_whole_and_reaches_for_nothing(corrected, page):
    text = Path(corrected.page).read_text("utf-8")
    assert os.path.getsize(corrected.page) < 2_000_000
    (head,) = page.all("head")
    policy = next(meta.attributes["content"] for meta in head.all("meta") if "http-equiv" in meta.attributes)
    for name in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.one(name).text.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|//[a-z]|url\(|@import|srcset|<link|<iframe", re.sub(r'"data:[^"]*"', "", text))
    for element in page.all():
        assert not [name for name in element.attributes if name.startswith("on") or name in ("style", "href")], element
        assert element.attributes.get("src", "data:").startswith("data:")
    names = [element.attributes["id"] for element in page.all() if "id" in element.attributes]
    assert len(set(names)) == len(names)
    assert {"summary", "images", "motion", "quality", "kymographs", "frames", "noise", "learned", "settings"} <= set(
        names
    )
    assert not re.search(r'd="[^"]*(nan|inf)', text)


def test_traces_are_those_of_the_correction(page, correction):
    shifts, quality = correction.shifts[:, 0], correction.quality
    assert_follows(lines_of(page, "Along x"), shifts[:, 0])
    assert_follows(lines_of(page, "Along y"), shifts[:, 1])
    assert_follows(lines_of(page, "Correlation"), quality["correlation"][:, 0])
    assert_follows(lines_of(page, "Not explained by the reference"), quality["residual"][:, 0])
    assert_follows(lines_of(page, "Greatest displacement"), quality["max_px"][:, 0])


def test_numbers_are_those_of_the_correction(page, correction, movie):
    tiles = {tile.one("dt").text: tile.one("dd").text for tile in page.one("dl", class_="tiles").all("div")}
    longest = correction.quality["max_px"]
    assert tiles["Greatest displacement of a frame"] == (
        f"{np.median(longest):.2f} px median, at most {longest.max():.1f} px"
    )
    assert tiles["Frames to look at"] == "1 of 40"
    # means of 3 x 3 pixels inside, of every frame
    found = []
    for recording in (correction.recording, correction.apply()):
        row = []
        for t, border in enumerate(np.ceil(longest[:, 0]).astype(int)):
            parts = []
            for channel in range(2):
                images = recording[t, channel, 0], correction.reference[0, :, :, channel]
                inner = [image[border : 48 - border, border : 64 - border].astype(float) for image in images]
                height, width = (side - side % 3 for side in inner[0].shape)
                blocks = [
                    np.add.reduceat(
                        np.add.reduceat(image[:height, :width], range(0, height, 3), 0), range(0, width, 3), 1
                    )
                    for image in inner
                ]
                parts.append(np.corrcoef(*map(np.ravel, blocks))[0, 1])
            row.append(np.mean(parts))
        found.append(np.median(row))
    assert tiles["Correlation with the reference"] == f"{found[1]:.3f} from {found[0]:.3f}, 3 × 3 pixels averaged"
    assert found[1] > found[0]


def test_the_frame_without_tissue_stands_out(page):
    assert any(f"1 of 40 frames (2.5 %) is unusual or doubtful: {NOISY}." == text for text in sentences(page))
    assert page.one("section", id="summary").attributes["class"] == "look"
    first = page.one("section", id="frames").all("article")[0]
    assert first.one("h3").text == f"Frame {NOISY}"
    assert first.one("p", class_="why").text == "resembles the reference least"
    charts = page.one("section", id="quality").all("figure", class_="time")
    dots = charts[0].one("path", class_="dots").attributes["d"]
    assert re.fullmatch(rf"M{(NOISY + 0.5) / 40 * 1000:g} [\d.]+h0", dots)


def test_what_went_wrong_is_said(movie, tmp_path):
    def spoiled(frames, reference):
        y, x = np.mgrid[: frames.shape[1], : frames.shape[2]].astype(np.float32)
        field = 5 * np.stack([np.sin(y / 4), np.cos(x / 5)], axis=-1)
        return np.broadcast_to(field, (len(frames), *field.shape)).astype(np.float32)

    with galvo.correct(movie[:12], tmp_path / "out.h5", flow=spoiled, reference=slice(0, 12)) as correction:
        page = parsed(correction.report())
    assert page.one("section", id="summary").attributes["class"] == "bad"
    assert sentences(page)[0].startswith("Frames resemble the reference less than before")
    assert any("that takes Python" in part.text for part in page.one("section", id="settings").all("p"))


def test_a_recording_that_changes_is_told(tmp_path):
    rng = np.random.default_rng(0)
    still, other = rng.poisson(40, (2, 16, 20))
    share = np.linspace(0, 1, 240)[:, None, None]
    pixels = ((1 - share) * still + share * other + rng.normal(0, 2, (240, 16, 20))).astype(np.float32)
    with galvo.correct(pixels, tmp_path / "out.h5", RIGID, reference=slice(0, 20)) as correction:
        page = parsed(correction.report())
        first, last = (np.median(correction.quality["correlation"][part]) for part in (slice(24), slice(-24, None)))
    (told,) = [text for text in sentences(page) if "--update-reference" in text]
    assert f"correlate with the reference {100 * (1 - last / first):.0f} % less" in told


def test_images_before_and_after_share_gray_levels(page, correction, movie):
    after = correction.apply()[...]
    panels = page.one("section", id="images").all("div", class_="pairs")
    assert [panel.attributes["data-channel"] for panel in panels] == ["0", "1"]
    for channel, panel in enumerate(panels):
        kinds = {figure.attributes["data-kind"]: figure.all("img") for figure in panel.all("figure")}
        assert list(kinds) == ["mean", "max", "local_correlation"]
        for kind, reduce in (("mean", np.mean), ("max", np.max)):
            truth = np.stack([reduce(pixels[:, channel, 0].astype(float), axis=0) for pixels in (movie, after)])
            shown = np.stack([pixels_of(image.attributes["src"]) for image in kinds[kind]])
            low, high = np.percentile(truth, (0.5, 99.8))
            expected = np.clip((truth - low) / (high - low) * 255, 0, 255)
            assert np.abs(shown - expected).max() <= 1


def test_the_original_is_made_again_where_it_is_gone(corrected, page, tmp_path):
    for name in (corrected.movie, corrected.motion):
        shutil.copy(name, tmp_path)
    path = galvo.report(tmp_path / "out.h5")
    assert path == str(tmp_path / "out_report.html")
    without = parsed(path)
    assert any("raw.h5" in text and "made again" in text for text in sentences(without))
    assert not without.all("section", id="noise")
    for whole, again in zip(*(tree.one("section", id="images").all("img") for tree in (page, without)), strict=True):
        one, other = (pixels_of(image.attributes["src"])[6:-6, 6:-6] for image in (whole, again))
        if "Mean" in whole.attributes["alt"]:
            assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.98
    # beside the motion it is found, and named it is taken
    shutil.copy(corrected.raw, tmp_path)
    for source in (None, corrected.raw):
        galvo.report(tmp_path / "out.h5", source=source, overwrite=True)
        assert parsed(path).one("section", id="noise")


def test_a_motion_alone(corrected, tmp_path):
    shutil.copy(corrected.motion, tmp_path / "kept.h5")
    page = parsed(galvo.report(tmp_path / "kept.h5"))
    figures = page.one("section", id="images").all("figure")
    assert [figure.attributes["data-kind"] for figure in figures] == ["mean", "mean"]
    assert not page.all("section", id="kymographs")
    assert any("no pixels to show" in text for text in sentences(page))
    # with the original, it is corrected as it is read
    whole = parsed(galvo.report(tmp_path / "kept.h5", tmp_path / "whole.html", source=corrected.raw))
    assert len(whole.one("section", id="images").all("img")) == 12
    assert "--motion motion.h5" in whole.one("section", id="settings").one("code").text


def test_names_from_files_are_text(movie, tmp_path):
    folder = tmp_path / "a & b <i>"
    folder.mkdir()
    metadata = galvo.Metadata(format="array", channel_names=HOSTILE)
    recording = Recording.from_array(movie[:20], metadata=metadata)
    with galvo.correct(recording, folder / "'><b>&out.h5", RIGID) as correction:
        page = parsed(galvo.report(correction))
    assert page.one("h1").text == "'><b>&out.h5"
    assert len(page.all("script")) == 1
    assert not page.all("b", class_="") or all(tag.text for tag in page.all("b"))
    options = [option.text for option in page.one("nav").all("option")]
    assert options == [name.replace("\u202e", "\\x202e") for name in HOSTILE]
    assert {image.attributes["src"][:5] for image in page.all("img")} == {"data:"}


def test_facts_of_any_kind(corrected, tmp_path):
    """What a file says of itself is taken as text, or not at all."""
    shutil.copy(corrected.motion, tmp_path / "odd.h5")
    with h5py.File(tmp_path / "odd.h5", "r+") as file:
        told = json.loads(file["motion/facts"][...].tobytes())
        told["params"] = {"estimator": ["<u>"], "preset": 3, "variational": "no"}
        told["provenance"] = {
            "channels": [1, "<i>"], "source_files": [["<i>"], 7], "frames": ["a"], "reference": {"frames": 3},
            "opened": {"x": "<i>"}, "update_reference": "<i>", "flow": "<i>", "galvo_version": ["<i>"],
        }  # fmt: skip
        told["learned"] = [
            {"remarks": 5, "bands": [3, {"order": "x", "rms_px": "1e", "active_count": 1}], "noise": "no"},
            "no",
        ]
        del file["motion/facts"]
        file["motion/facts"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    page = parsed(galvo.report(tmp_path / "odd.h5"))
    assert not page.all("i")
    assert not page.all("u")
    told["provenance"] = [1]
    with h5py.File(tmp_path / "odd.h5", "r+") as file:
        del file["motion/facts"]
        file["motion/facts"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    with pytest.raises(Malformed, match="another kind"):
        galvo.report(tmp_path / "odd.h5", overwrite=True)


def test_volumes_and_odd_pixels(movie, tmp_path):
    pixels = np.concatenate([movie[:12, :1], movie[:12, 1:]], axis=2).astype(np.float32)
    pixels[3] = np.nan
    pixels[5, 0, 1, :9] = np.nan
    with galvo.correct(pixels, tmp_path / "out.h5", RIGID, reference=slice(0, 3)) as correction:
        path = galvo.report(correction)
    page = parsed(path)
    assert not re.search(r'd="[^"]*nan', Path(path).read_text("utf-8"))
    for name in ("images", "motion", "quality", "kymographs", "frames"):
        planes = [
            part.attributes["data-plane"]
            for part in page.one("section", id=name).children
            if "data-plane" in part.attributes
        ]
        assert planes == ["0", "1"]
    assert page.one("select", id="choose-plane")
    assert not page.all("select", id="choose-channel")
    assert page.one("section", id="summary").attributes["class"] in ("look", "bad")


@pytest.mark.parametrize("shape", [(1, 1, 1, 32, 40), (3, 1, 1, 5, 3)])
def test_hardly_a_recording(shape, tmp_path):
    pixels = np.random.default_rng(0).poisson(30, shape).astype(np.uint16)
    with galvo.correct(pixels, tmp_path / "out.h5", RIGID) as correction:
        assert parsed(galvo.report(correction)).one("h1").text == "out.h5"


def test_a_field_finds_its_rows(tmp_path):
    rois = [
        RoiRequest(name=name, scanfields=(ScanfieldRequest(center_deg=(at, 1), size_deg=(4, 4), pixels=(24, 16)),))
        for name, at in (("left", -3), ("right", 5))
    ]
    raw = ScanImageRecording.multi_roi(tuple(rois), zs=(0.0,), volumes=4).write(tmp_path / "raw")[0]
    with galvo.open(raw) as recording:
        for correction in galvo.correct_fields(recording, tmp_path / "out.h5", RIGID):
            told = galvo.report(correction)
            again = galvo.report(correction.movie.path, told, source=raw, overwrite=True)
            means = parsed(again).one("section", id="images").all("figure")[0].all("img")
            truth = correction.recording[:, 0, 0].mean(axis=0, dtype=float)
            shown = pixels_of(means[0].attributes["src"])
            assert np.corrcoef(truth.ravel(), shown.ravel())[0, 1] > 0.999


def test_the_command_gives_the_same_motion(corrected, tmp_path):
    shutil.copy(corrected.raw, tmp_path / "raw file.h5")
    words = ["correct", "raw file.h5", "-o", "out.h5", "--estimator", "rigid", "--channel", "red", "--reference", "0:9"]
    words += ["--frames", "2:30", "--preset", "fast", "--update-reference", "14", "--format", "hdf5"]
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        first = run(*words)
        assert first.exit_code == 0, first.output
        command = parsed("out_report.html").one("section", id="settings").all("code")[0].text
        (tmp_path / "out_report.html").unlink()
        assert run("report", "out.h5").exit_code == 0
        again = parsed("out_report.html").one("section", id="settings").all("code")[0].text
        assert again == command
        kept = (tmp_path / "out_motion.h5").read_bytes()
        typed = shlex.split(command)
        assert typed[0] == "galvo"
        result = run(*typed[1:], "--overwrite", "--no-report")
        assert result.exit_code == 0, result.output
        assert (tmp_path / "out_motion.h5").read_bytes() == kept
    finally:
        os.chdir(here)


def test_one_recording_corrected_by_the_motion_of_another(movie, tmp_path):
    galvo.save(movie[:8], tmp_path / "raw.h5")
    galvo.save(movie[:8] / np.float32(2), tmp_path / "denoised.h5")
    words = ("correct", tmp_path / "denoised.h5", "--apply-to", tmp_path / "raw.h5", "-o", tmp_path / "out.h5")
    assert run(*words, "--estimator", "rigid").exit_code == 0
    first = (tmp_path / "out_report.html").read_bytes()
    typed = parsed(tmp_path / "out_report.html").one("section", id="settings").one("code").text
    assert shlex.split(typed)[2:5] == ["denoised.h5", "--apply-to", "raw.h5"]
    galvo.report(tmp_path / "out.h5", overwrite=True)
    assert (tmp_path / "out_report.html").read_bytes() == first


def test_what_options_cannot_say_is_a_file_of_parameters(movie, tmp_path):
    params = {"estimator": "variational", "channel_weights": [1, 3], "variational": {"alpha": [9, 9], "levels": 2}}
    with galvo.correct(movie[:4], tmp_path / "out.h5", params) as correction:
        page = parsed(galvo.report(correction))
    command, text = (code.text for code in page.one("section", id="settings").all("code"))
    assert "--params params.json" in command
    told = galvo.motion.MotionParams.model_validate_json(text)
    assert told.model_copy(update={"estimator": "variational"}) == correction.params


def test_nothing_is_replaced(corrected, tmp_path):
    for name in (corrected.movie, corrected.motion):
        shutil.copy(name, tmp_path)
    (tmp_path / "out_report.html").write_text("mine")
    with pytest.raises(WriteError, match="exists"):
        galvo.report(tmp_path / "out.h5")
    for other in ("out.h5", "out_motion.h5"):
        with pytest.raises(WriteError, match="is an input"):
            galvo.report(tmp_path / "out.h5", tmp_path / other, overwrite=True)
    assert (tmp_path / "out_report.html").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["out.h5", "out_motion.h5", "out_report.html"]


def test_what_does_not_belong_together(corrected, movie, tmp_path):
    with pytest.raises(NotFound, match="no motion"):
        galvo.report(corrected.raw, tmp_path / "page.html")
    galvo.save(movie[:5], tmp_path / "short.h5")
    with pytest.raises(OptionError, match="does not fit the motion"):
        galvo.report(tmp_path / "short.h5", tmp_path / "page.html", motion=corrected.motion)
    with pytest.raises(OptionError, match="not what was corrected"):
        galvo.report(corrected.movie, tmp_path / "page.html", source=movie[:5])
    assert os.listdir(tmp_path) == ["short.h5"]


def test_a_report_that_fails_takes_nothing_back(corrected, tmp_path):
    (tmp_path / "out_report.html").write_text("mine")
    words = ("correct", corrected.raw, "-o", tmp_path / "out.h5", "--estimator", "rigid", "--frames", "0:6")
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert "the report was not written" in result.stderr
    assert f"galvo report {tmp_path / 'out.h5'}" in result.stdout
    assert (tmp_path / "out_report.html").read_text() == "mine"
    with galvo.open(tmp_path / "out.h5") as written:
        assert len(written) == 6


def test_movies_that_cannot_be_compared_as_they_are(corrected, page, tmp_path):
    expected = [image.attributes["src"] for image in page.one("section", id="images").all("img")]
    # one file per channel, and another type
    for options in ({"split_channels": True}, {"dtype": "uint8", "scale": "percentile"}):
        with galvo.open_correction(corrected.motion, corrected.raw) as kept:
            movie = galvo.convert(kept.apply(), tmp_path / "out.h5", overwrite=True, **options)
            path = galvo.report(replace(kept, movie=movie), overwrite=True)
        assert [image.attributes["src"] for image in parsed(path).one("section", id="images").all("img")] == expected
    with galvo.open(corrected.raw) as raw, pytest.raises(OptionError, match="number of channels"):
        galvo.report(corrected.movie, tmp_path / "page.html", source=raw.isel(c=0))


@pytest.mark.harden
def test_a_volume_of_noise_is_below_the_limit(tmp_path):
    """Noise is what PNG cannot compress."""
    pixels = np.random.default_rng(1).integers(0, 60000, (30, 2, 20, 300, 300)).astype(np.uint16)
    with galvo.correct(pixels, tmp_path / "out.h5", RIGID) as correction:
        path = galvo.report(correction)
    assert os.path.getsize(path) < 5_000_000
    assert any("more planes" in element.text for element in parsed(path).all("p"))
