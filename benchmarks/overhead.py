"""Measure what `dvc exp run` takes beyond the stages that it runs, by the moments at which it says what it does.

dvc repro; python -m benchmarks.overhead --rounds 5
"""

import argparse
import os
import statistics
import subprocess
import time
from typing import NamedTuple

WAYS = {"in the workspace": [], "in a folder of its own": ["--temp"]}


class Seconds(NamedTuple):
    """How long an experiment took, and how long its stages worked."""

    total: float
    stages: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="experiments of each way, in turn; default: 5")
    given = parser.parse_args()
    found: dict[str, list[Seconds]] = {way: [] for way in WAYS}
    for number in range(given.rounds):
        for place, (way, options) in enumerate(WAYS.items()):
            name = f"overhead-{number}-{place}"
            # Another number each time: evaluate runs, and no earlier run can stand in for it.
            change = f"evaluate.mistakes={time.time_ns() // 1_000_000_000}"
            found[way].append(seconds_of(["--name", name, "--set-param", change, *options]))
            subprocess.run(["dvc", "exp", "remove", name], stdout=subprocess.DEVNULL, check=True)
            subprocess.run(["git", "checkout", "--quiet", "."], check=True)
    print(
        "| `dvc exp run` | total, median s | stages | beyond the stages | lowest | highest |\n|---|---|---|---|---|---|"
    )
    for way, runs in found.items():
        beyond = [run.total - run.stages for run in runs]
        middle = statistics.median(run.total for run in runs), statistics.median(run.stages for run in runs)
        print(
            f"| {way} | {middle[0]:.1f} | {middle[1]:.1f} | {statistics.median(beyond):.1f} | {min(beyond):.1f} |"
            f" {max(beyond):.1f} |"
        )


def seconds_of(arguments: list[str]) -> Seconds:
    """Run one experiment."""
    command = ["dvc", "exp", "run", *arguments]
    start = time.perf_counter()
    began, worked = 0.0, 0.0
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Running stage"):
                began = time.perf_counter()
            if line.startswith("Updating lock file"):
                worked += time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"error: {' '.join(command)} failed; run dvc repro first")
    return Seconds(time.perf_counter() - start, worked)


if __name__ == "__main__":
    main()
