"""Start-up, as whole processes: `import galvo` and `galvo info FILE` against `import numpy` and the peers' imports."""

import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from bench.recording import CHANNELS, data_folder, scanimage_file
from bench.report import Report, parser
from bench.timing import interleave

FRAME_COUNT, SIDE = 100, 128
OPEN = "import sys, galvo; print(galvo.open(sys.argv[1]).shape)"
GALVO = str(Path(sys.executable).with_name("galvo"))


def process(*command: str, folder: Path) -> Callable[[], None]:
    def run() -> None:
        subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    return run


def check(path: Path, folder: Path) -> None:
    """Raise ValueError unless `galvo info` tells the frames and the size: a command that does nothing is fast."""
    command = [GALVO, "info", str(path)]
    said = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if not {str(FRAME_COUNT), str(SIDE)} <= set(re.findall(r"\d+", said.stdout.replace(str(path), ""))):
        raise ValueError(f"galvo info does not describe the recording: {said.stdout!r}")


def main() -> None:
    options = parser(__doc__, rounds=11).parse_args()
    with data_folder(options.data) as folder:
        path = scanimage_file(folder, height=SIDE, width=SIDE, page_count=FRAME_COUNT * len(CHANNELS)).resolve()
        check(path, folder)

        def importing(modules: str) -> Callable[[], None]:
            return process(sys.executable, "-c", f"import {modules}", folder=folder)

        runs: dict[str, Callable[[], None] | None] = {
            "python -c pass": process(sys.executable, "-c", "pass", folder=folder),
            "import numpy": importing("numpy"),
            "import numpy, galvo": importing("numpy, galvo"),
            "import galvo": importing("galvo"),
            "import galvo, open FILE": process(sys.executable, "-c", OPEN, str(path), folder=folder),
            "galvo info FILE": process(GALVO, "info", str(path), folder=folder),
            "import tifffile": importing("tifffile"),
        }
        for module in ("roiextractors", "ScanImageTiffReader"):
            runs[f"import {module}"] = importing(module) if find_spec(module) else None
        timings = interleave(runs, rounds=options.rounds, slot_s=0)

    report = Report("startup", {"rounds": options.rounds})
    report.add("process", {name: timings.get(name) for name in runs}, ours="import galvo")
    numpy, both, info = (timings[name] for name in ("import numpy", "import numpy, galvo", "galvo info FILE"))
    added_ms = (both.minimum_s - numpy.minimum_s) * 1e3
    report.goal("import galvo adds to import numpy", added_ms, limit=30, unit="ms")
    report.goal("galvo info against import numpy", info.minimum_s / numpy.minimum_s, limit=3, unit="x")
    report.publish(options.results)


if __name__ == "__main__":
    main()
