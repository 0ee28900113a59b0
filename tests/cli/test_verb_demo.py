from PIL import Image

import galvo


def test_demo_runs_again_and_touches_only_its_own_files(run, tmp_path):
    mine = tmp_path / "mine.h5"
    mine.write_bytes(b"precious")
    for frames in (12, 10):
        result = run("demo", tmp_path, "--frames", frames)
        assert result.exit_code == 0, result.output
        assert str(tmp_path / "galvo_demo.h5") in result.stdout
        assert "all checksums match" in result.stdout
        assert "pixels and metadata" in result.stdout
        assert (tmp_path / "galvo_demo_still_report.html").as_uri() in result.stdout
        for name in ("galvo_demo.h5", "galvo_demo_still.h5"):
            with galvo.open(tmp_path / name) as recording:
                assert recording.shape == (frames, 2, 1, 256, 256)
        with Image.open(tmp_path / "galvo_demo_still.png") as picture:
            assert min(picture.size) > 256
    assert mine.read_bytes() == b"precious"
    theirs = {path.name for path in tmp_path.iterdir()} - {"mine.h5"}
    assert all(name.startswith("galvo_demo") for name in theirs)
    assert not [name for name in theirs if name.endswith((".partial", ".journal"))]


def test_a_folder_that_cannot_be_made(run, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    result = run("demo", blocker / "demo", "--frames", 2)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
