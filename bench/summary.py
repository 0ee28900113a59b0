"""All goals of the last runs, and the page of the documentation that shows them.

Reads bench/results/*.json, prints the goals and writes docs/benchmarks.md.
"""

import argparse
import ast
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.report import RESULTS, Goal, number, print_goals

ROOT = Path(__file__).resolve().parents[1]
BENCHES = (
    "startup",
    "open",
    "read",
    "fields",
    "formats",
    "memory",
    "timestamps",
    "facades",
    "convert",
    "pzf",
    "compression",
    "video",
    "motion",
    "correct",
    "accuracy",
    "closure",
)
"""In the order of `make bench`."""

Run = Mapping[str, Any]

INTRODUCTION = """\
# Benchmarks

<!-- made by `python -m bench.summary` from bench/results; not written by hand -->

Ours and the peers' in one run, in one environment, on the same files, in interleaved rounds: [how](../bench/README.md).
`make bench-peers bench` repeats all of it and writes this page.

- **min**, **median**: time of a round. **CPU**: that of all threads and child processes, least of the rounds.
- **ours / it**: galvo's least time over that of the row. Below 1, galvo takes less.
- What missed its goal is in the list like what met it.
"""


def runs(folder: Path) -> dict[str, Run | None]:
    """What each benchmark found last; None where it was not run."""
    extra = sorted({path.stem for path in folder.glob("*.json")} - {*BENCHES})
    found: dict[str, Run | None] = {}
    for name in (*BENCHES, *extra):
        path = folder / f"{name}.json"
        found[name] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found


def page(found: Mapping[str, Run | None]) -> str:
    """The page of the documentation."""
    present = {name: run for name, run in found.items() if run is not None}
    circumstances = Counter(_circumstances(run) for run in present.values())
    usual = circumstances.most_common(1)[0][0] if circumstances else ""
    goals = [(name, goal) for name, run in present.items() for goal in run["goals"]]
    missing = [f"`{name}`" for name, run in found.items() if run is None]
    lines = [INTRODUCTION, usual, "", "## Goals", ""]
    lines.append(f"{sum(goal['met'] for _, goal in goals)} of {len(goals)} goals are met.")
    if missing:
        lines.append(f"Not run: {', '.join(missing)}.")
    lines += ["", *table(("benchmark", "goal", "measured", "limit", "met"), map(_goal_cells, goals), "llrrl")]
    for name, run in found.items():
        lines += ["", f"## {name}", "", _what(name), ""]
        if run is None:
            lines.append("Not run.")
            continue
        own = _circumstances(run)
        if own != usual:
            lines += [own, ""]
        lines += [", ".join(f"{key.replace('_', ' ')} {value}" for key, value in run["parameters"].items()) + ".", ""]
        head = ("figure", "contender", "min ms", "median ms", "CPU ms", "ours / it", "")
        lines += table(head, _row_cells(run["rows"]), "llrrrrl")
    return "\n".join(lines).rstrip() + "\n"


def _circumstances(run: Run) -> str:
    """When, on what and with which versions, in a few lines."""
    machine, versions = run["machine"], run["versions"]
    when = f"Measured on {run['date']}" if "date" in run else "Measured"
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, {machine['architecture']}"
    names = [f"{name} {version}" for name, version in versions.items() if version != "not installed"]
    absent = [name for name, version in versions.items() if version == "not installed"]
    text = f"{when}: {where}.\n\nVersions: {', '.join(names)}."
    return f"{text} Not installed: {', '.join(absent)}." if absent else text


def _what(name: str) -> str:
    """What the benchmark is, in the words of its module."""
    path = Path(__file__).with_name(f"{name}.py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else None
    return "" if text is None else text.partition("\n\n")[0]


def _goal_cells(entry: tuple[str, Run]) -> tuple[str, ...]:
    name, goal = entry
    # the direction is not kept, but only one of them explains the outcome
    sign = "at most" if goal["met"] == (goal["measured"] <= goal["limit"]) else "at least"
    measured, limit = (f"{_figure(goal[key])} {goal['unit']}".strip() for key in ("measured", "limit"))
    return name, goal["text"], measured, f"{sign} {limit}", "met" if goal["met"] else "**missed**"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _row_cells(rows: Iterable[Run]) -> Iterator[tuple[str, ...]]:
    before = None
    for row in rows:
        figure = row["figure"] if row["figure"] != before else ""
        before = row["figure"]
        times = (number(row[key]) for key in ("minimum_ms", "median_ms", "minimum_cpu_ms"))
        ratio = "" if row["ours_to_this"] is None else f"{row['ours_to_this']:.3g}"
        yield figure, row["contender"], *times, ratio, row["note"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], sides: str) -> list[str]:
    """Lines of a table in Markdown; `sides` has an l or an r for each column."""
    rules = ["---:" if side == "r" else "---" for side in sides]
    cells = (head, rules, *([cell.replace("|", r"\|") for cell in row] for row in rows))
    return [f"| {' | '.join(line)} |" for line in cells]


def main() -> None:
    """Print the goals and write the page."""
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    command.add_argument("--page", type=Path, default=ROOT / "docs" / "benchmarks.md", help="what is written")
    options = command.parse_args()
    found = runs(options.results)
    print("\n== goals")
    for name, run in found.items():
        if run is None:
            print(f"   not run {name}")
        else:
            print_goals(Goal(**{**goal, "text": f"{name}: {goal['text']}"}) for goal in run["goals"])
    options.page.write_text(page(found), encoding="utf-8")
    print(f"\n   wrote {options.page}")


if __name__ == "__main__":
    main()
