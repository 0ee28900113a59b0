"""All goals of the last runs, from bench/results/*.json."""

import json

from bench.report import RESULTS, Goal, print_goals

if __name__ == "__main__":
    print("\n== goals")
    for path in sorted(RESULTS.glob("*.json")):
        document = json.loads(path.read_text())
        print_goals(Goal(**{**goal, "text": f"{path.stem}: {goal['text']}"}) for goal in document["goals"])
