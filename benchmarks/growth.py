"""Measure what each stage costs as a process, and how the first stages grow with the number of reviews.

python -m benchmarks.growth --parts stages,growth,learning --rounds 5

Apart from benchmarks.speed because a process inherits the peak memory of the one that starts it: this one is small.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML

STAGES = ("synthesize", "prepare", "teach", "clean", "encode", "resample", "pretrain", "train", "baseline", "evaluate")
HEAVY = ("torch", "tensorflow", "sklearn", "pandas", "nltk")
GROWTH = (10_000, 100_000, 1_000_000)
yaml = YAML()


def main() -> None:
    parts = {"stages": stages, "growth": growth, "learning": learning}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--parts", default=",".join(parts), help=f"names separated by commas; default: {','.join(parts)}"
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of each stage; growth runs once; default: 5")
    given = parser.parse_args()
    for part in given.parts.split(","):
        if part not in parts:
            parser.error(f"{part}: no such part; there are {', '.join(parts)}")
        parts[part](given.rounds)


def stages(rounds: int) -> None:
    """Seconds, seconds until everything is imported, and peak memory of each stage on the default corpus."""
    print("\n### stages\n\n| stage | seconds, median | lowest | highest | of these imports | peak MB | imports |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with clone() as folder:
        for stage in STAGES:
            runs = [run(folder, "-m", f"stages.{stage}") for _ in range(rounds)]
            seconds = [seconds for seconds, _ in runs]
            starts = [run(folder, "-c", f"import stages.{stage}")[0] for _ in range(rounds)]
            print(
                f"| {stage} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {max(seconds):.2f} "
                f"| {statistics.median(starts):.2f} | {max(peak for _, peak in runs):.0f} "
                f"| {', '.join(heavy_imports(folder, stage))} |",
                flush=True,
            )


def growth(rounds: int) -> None:
    """Seconds and peak memory of the stages that see every review, by the number of reviews; each once."""
    print("\n### growth (target: below 1500 MB at 1 million reviews, and linear time)\n")
    print("| stage | reviews | seconds | seconds for 100,000 | peak MB |\n|---|---|---|---|---|", flush=True)
    for reviews in GROWTH:
        with clone() as folder:
            change(folder, {"synthesize": {"reviews": reviews}})
            for stage in STAGES[:4]:
                seconds, peak = run(folder, "-m", f"stages.{stage}")
                rate = seconds / reviews * 100_000
                print(f"| {stage} | {reviews:,} | {seconds:.1f} | {rate:.1f} | {peak:.0f} |", flush=True)


def learning(rounds: int) -> None:
    """Seconds and peak memory of the stages that learn and measure, for one epoch; each once."""
    with clone() as folder:
        change(folder, {"synthesize": {"reviews": GROWTH[1]}, "pretrain": {"epochs": 1}, "train": {"epochs": 1}})
        for stage in STAGES[:4]:
            run(folder, "-m", f"stages.{stage}")
        used = json.loads((folder / "metrics/data.json").read_text(encoding="utf-8"))["rows"]["used"]
        print(f"\n### one epoch, {used:,} reviews\n")
        print("| stage | seconds | seconds for 1,000,000 | peak MB |\n|---|---|---|---|", flush=True)

        def measure(stage: str, how: str = "") -> None:
            seconds, peak = run(folder, "-m", f"stages.{stage}")
            print(f"| {stage}{how} | {seconds:.1f} | {seconds / used * 1_000_000:.0f} | {peak:.0f} |", flush=True)

        for stage in (*STAGES[4:], "export"):
            measure(stage)
        for batch_size in (64, 1024):
            for processes in (1, 2):
                change(folder, {"train": {"batch_size": batch_size, "processes": processes}})
                measure("train", f", {batch_size} reviews a batch, {processes} processes")


def change(folder: Path, changes: dict[str, dict[str, object]]) -> None:
    """Change some keys of a clone's params.yaml."""
    path = folder / "params.yaml"
    params = yaml.load(path)
    for section, values in changes.items():
        params[section] |= values
    yaml.dump(params, path)


@contextmanager
def clone() -> Iterator[Path]:
    """A clone of the last commit, removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", ".", folder], check=True)
        yield Path(folder)


def run(folder: Path, *arguments: str) -> tuple[float, float]:
    """Run Python there; give the seconds it took and its peak memory in megabytes."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"python {' '.join(arguments)} failed")
    return time.perf_counter() - start, used.ru_maxrss / 1000  # kilobytes on Linux


def heavy_imports(folder: Path, stage: str) -> list[str]:
    """Which of the heavy packages are there when a stage starts its work."""
    code = f"import stages.{stage}, sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, check=True).stdout.split()


if __name__ == "__main__":
    main()
