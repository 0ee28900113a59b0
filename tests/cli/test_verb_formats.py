import json


def test_table_lists_every_format(run):
    result = run("formats")
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert {"tiff", "scanimage", "hdf5"} <= set(lines)
    assert "write" in lines["hdf5"]
    assert "compression_level" in lines["hdf5"]
    assert len(result.stdout.splitlines()) == len(lines)


def test_json(run):
    listed = {entry["name"]: entry for entry in json.loads(run("formats", "--json").stdout)}
    assert listed["scanimage"]["writes"] is False
    assert ".h5" in listed["hdf5"]["suffixes"]
    assert "flyback" in listed["scanimage"]["open_options"]
