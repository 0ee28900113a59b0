import galvo


def test_demo_runs_again_and_touches_only_its_own_files(run, tmp_path):
    mine = tmp_path / "mine.h5"
    mine.write_bytes(b"precious")
    for frames in (6, 4):
        result = run("demo", tmp_path, "--frames", frames)
        assert result.exit_code == 0, result.output
        assert str(tmp_path / "galvo_demo.h5") in result.stdout
        assert "all checksums match" in result.stdout
        assert "pixels and metadata" in result.stdout
        with galvo.open(tmp_path / "galvo_demo.h5") as recording:
            assert recording.shape == (frames, 2, 1, 256, 256)
    assert mine.read_bytes() == b"precious"
    names = ["galvo_demo.h5", "galvo_demo_00001_00001.tif", "galvo_demo_00001_00002.tif", "mine.h5"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_folder_that_cannot_be_made(run, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    result = run("demo", blocker / "demo", "--frames", 2)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
