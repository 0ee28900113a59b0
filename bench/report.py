"""Table and JSON of a benchmark: figures, ratios, goals, versions, machine."""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import galvo
from bench.timing import Timing

RESULTS = Path(__file__).resolve().parent / "results"
DISTRIBUTIONS = (
    "numpy",
    "h5py",
    "tifffile",
    "imagecodecs",
    "scipy",
    "hdf5plugin",
    "pyflowreg",
    "roiextractors",
    "scanimage-tiff-reader",
    "pymecompress",
    "CalSciPy",
    "av",
    "imageio",
    "imageio-ffmpeg",
)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def versions() -> dict[str, str]:
    """Version of Python and of every distribution in the comparison."""
    others = {name: _version(name) for name in DISTRIBUTIONS}
    return {"python": platform.python_version(), "galvo": galvo.__version__, **others}


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def machine() -> dict[str, str | int]:
    """Processor, cores and system, without the name of the machine."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return {
        "cpu": _cpu_model(),
        "cores": usable or 1,
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
    }


@dataclass(frozen=True)
class Row:
    """One contender in one figure; times in ms, None where it is not installed."""

    figure: str
    contender: str
    minimum_ms: float | None
    median_ms: float | None
    minimum_cpu_ms: float | None
    samples: int
    ours_to_this: float | None
    note: str


@dataclass(frozen=True)
class Goal:
    """A promise and what was measured."""

    text: str
    measured: float
    limit: float
    unit: str
    met: bool


@dataclass
class Report:
    """What one benchmark run found."""

    benchmark: str
    parameters: Mapping[str, object]
    rows: list[Row] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def add(
        self, figure: str, timings: Mapping[str, Timing | None], *, ours: str, notes: Mapping[str, str] | None = None
    ) -> None:
        """Append one row per contender; `ours` names the one that the ratios relate to the others."""
        our_timing = timings[ours]
        for contender, timing in timings.items():
            note = (notes or {}).get(contender, "")
            if timing is None:
                self.rows.append(Row(figure, contender, None, None, None, 0, None, note or "not installed"))
                continue
            ratio = our_timing.minimum_s / timing.minimum_s if our_timing is not None and contender != ours else None
            self.rows.append(
                Row(
                    figure,
                    contender,
                    timing.minimum_s * 1e3,
                    timing.median_s * 1e3,
                    timing.minimum_cpu_s * 1e3,
                    len(timing.wall_s),
                    ratio,
                    note,
                )
            )

    def goal(self, text: str, measured: float, *, limit: float, unit: str, at_least: bool = False) -> None:
        """Append a goal: `measured` at most `limit`, or at least."""
        self.goals.append(Goal(text, measured, limit, unit, measured >= limit if at_least else measured <= limit))

    def publish(self, folder: Path) -> None:
        """Print the tables and write `<benchmark>.json` into `folder`."""
        found: dict[str, Mapping[str, str | int]] = {"versions": versions(), "machine": machine()}
        print(f"\n== {self.benchmark}: " + ", ".join(f"{key} {value}" for key, value in self.parameters.items()))
        print("   " + ", ".join(f"{key} {value}" for key, value in found["versions"].items()))
        print("   " + ", ".join(f"{key} {value}" for key, value in found["machine"].items()))
        print(_table(("figure", "contender", "min ms", "median ms", "cpu ms", "ours / it", ""), map(_cells, self.rows)))
        print_goals(self.goals)
        folder.mkdir(parents=True, exist_ok=True)
        document = {**asdict(self), "date": date.today().isoformat(), **found}
        (folder / f"{self.benchmark}.json").write_text(json.dumps(document, indent=1) + "\n")


def number(value: float | None) -> str:
    """A time as tables show it."""
    return "" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ours_to_this is None else f"{row.ours_to_this:.3g}"
    times = tuple(number(value) for value in (row.minimum_ms, row.median_ms, row.minimum_cpu_ms))
    return (row.figure, row.contender, *times, ratio, row.note)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]

    def joined(line: Sequence[str]) -> str:
        # Names read from the left, numbers compare from the right.
        left = [cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(line[2:-1], widths[2:-1], strict=True)]
        return "   " + "  ".join((*left, *right, line[-1])).rstrip()

    return "\n".join(joined(line) for line in lines)


def print_goals(goals: Iterable[Goal]) -> None:
    """Print one line per goal."""
    for goal in goals:
        state = "met   " if goal.met else "MISSED"
        print(f"   {state} {goal.text}: {goal.measured:.3g} {goal.unit} (limit {goal.limit:g} {goal.unit})")


def parser(description: str | None, *, rounds: int, scaled: bool = False) -> argparse.ArgumentParser:
    """Command line that every benchmark shares: --data, --results, --rounds; --full where there is more to be had."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--data", type=Path, help="keep the generated recordings here (default: a temporary folder)")
    made.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file (default: bench/results)")
    made.add_argument("--rounds", type=int, default=rounds, help="interleaved rounds (default: %(default)s)")
    if scaled:
        full = os.environ.get("BENCH_SCALE") == "full"
        made.add_argument("--full", action="store_true", default=full, help="large sizes (or BENCH_SCALE=full)")
    return made
