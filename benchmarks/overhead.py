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
NAME = "overhead"
CHANGES = {"evaluate": "evaluate.mistakes=1{}", "train, evaluate, export": "train.lr=0.003{}"}
"""What runs, and what makes it run: another number each time, so that no earlier run can stand in for it."""


class Seconds(NamedTuple):
    """How long an experiment took, and how long its stages worked."""

    total: float
    stages: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="experiments of each way, in turn; default: 5")
    given = parser.parse_args()
    found: dict[tuple[str, str], list[Seconds]] = {(stages, way): [] for stages in CHANGES for way in WAYS}
    for _ in range(given.rounds):
        for stages, way in found:
            change = CHANGES[stages].format(f"{int(time.time()) % 10_000:04}")
            found[stages, way].append(seconds_of(["--name", NAME, "--set-param", change, *WAYS[way]]))
            subprocess.run(["dvc", "exp", "remove", NAME], stdout=subprocess.DEVNULL, check=True)
            subprocess.run(["git", "checkout", "--quiet", "."], check=True)
    print("| stages | `dvc exp run` | total, median s | of it stages | beyond them | lowest | highest |")
    print("|---|---|---|---|---|---|---|")
    for (stages, way), runs in found.items():
        beyond = [run.total - run.stages for run in runs]
        figures = [statistics.median(run.total for run in runs), statistics.median(run.stages for run in runs)]
        figures += [statistics.median(beyond), min(beyond), max(beyond)]
        print(f"| {stages} | {way} | " + " | ".join(f"{seconds:.1f}" for seconds in figures) + " |")


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
            if line.startswith("Updating lock file") and began:  # DVC says so of stages that it skips, too
                worked += time.perf_counter() - began
                began = 0.0
    if process.returncode:
        raise SystemExit(f"error: {' '.join(command)} failed; run dvc repro first")
    return Seconds(time.perf_counter() - start, worked)


if __name__ == "__main__":
    main()
