"""Measure a table in many files on several workers: seconds and memory of each stage and of predict; check the counts.

pip install -r requirements-cluster.txt
python -m benchmarks.scaling --reviews 1000000 --workers 2 --partitions 20

The stages run in a clone of the last commit, predict with the exported model of this folder. With --kill one worker is
killed in the middle of each.
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from hashlib import file_digest, md5
from pathlib import Path

import psutil

from benchmarks.growth import change, clone
from src.corpus.synthesis import synthesize
from stages.synthesize import read_clauses

MODEL = Path("models/export")
PAUSE = 0.1
"""Seconds between two looks at the memory of the workers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2, help="processes; also generate the reviews; default: 2")
    parser.add_argument("--memory", type=float, default=2.0, help="gigabytes of each of them; default: 2")
    parser.add_argument("--kill", action="store_true", help="kill -9 a worker in the middle of each stage")
    given = parser.parse_args()
    with clone() as folder:
        rows = generate(folder / "table", given.reviews, given.partitions, given.workers)
        engine = {"name": "dask", "workers": given.workers, "memory": given.memory}
        change(folder, {"data": {"path": "table"}, "engine": engine})
        works = {stage: ["-m", f"stages.{stage}"] for stage in ("prepare", "teach", "clean", "encode")}
        works["predict"] = ["-m", "commands.predict", "table", "--output", "scored", "--model", str(MODEL.resolve())]
        works["predict"] += ["--engine", "dask", "--workers", str(given.workers), "--memory", str(given.memory)]
        print(
            f"\n### {given.partitions} files, {given.workers} workers{', one killed in each' if given.kill else ''}\n"
        )
        print("| stage | reviews | seconds | seconds for 1,000,000 | largest worker, MB |\n|---|---|---|---|---|")
        for name, command in works.items():
            seconds, peak = run(folder, command, given.kill)
            rate = seconds / rows * 1_000_000
            print(f"| {name} | {rows:,} | {seconds:.1f} | {rate:.1f} | {peak:.0f} |", flush=True)
        check(folder, rows)


def generate(folder: Path, reviews: int, partitions: int, workers: int) -> int:
    """Write the files of a table, each from a seed of its own, side by side; give the number of rows."""
    folder.mkdir()
    sizes = [reviews // partitions + (number < reviews % partitions) for number in range(partitions)]
    with ProcessPoolExecutor(workers) as pool:
        return sum(pool.map(partial(generate_file, folder), range(partitions), sizes))


def generate_file(folder: Path, number: int, reviews: int) -> int:
    """Write one file."""
    with (folder / f"{number:05}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = None
        for review in synthesize(read_clauses(), reviews, seed=1 + number):
            writer = writer or csv.DictWriter(file, review, lineterminator="\n")
            if not file.tell():
                writer.writeheader()
            writer.writerow(review)
    return reviews


def run(folder: Path, command: list[str], kill: bool) -> tuple[float, float]:
    """Run Python there; give the seconds it took and the peak memory in megabytes of its largest worker.

    With `kill` a worker is killed as soon as a first file is left.
    """
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], cwd=folder, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        sizes = dict(workers_of(process.pid))
        peak = max(peak, *sizes.values(), 0)
        if kill and sizes and work_has_begun(folder):
            psutil.Process(next(iter(sizes))).kill()
            kill = False
        time.sleep(PAUSE)
    if process.returncode:
        sys.exit(f"python {' '.join(command)} failed")
    if kill:
        sys.exit(f"{command[1]} ended before a worker could be killed; give it more reviews")
    return time.perf_counter() - start, peak / 1_000_000


def work_has_begun(folder: Path) -> bool:
    """Whether there is a file of an output that is not complete."""
    found = (path for place in ("data", ".") for path in folder.glob(f"{place}/.*.partial/**/*"))
    return any(path.is_file() and path.name != "work" for path in found)


def workers_of(pid: int) -> Iterator[tuple[int, int]]:
    """The workers that a process has started, and the bytes each takes."""
    try:
        for child in psutil.Process(pid).children(recursive=True):
            try:
                if "spawn_main" in " ".join(child.cmdline()):
                    yield child.pid, child.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return


def check(folder: Path, rows: int) -> None:
    """Every row read is used, rejected or a repeat; every used row is encoded; every row read is scored or said why."""
    counts = json.loads((folder / "metrics/data.json").read_text(encoding="utf-8"))
    parts = counts["rows"]
    assert parts["read"] == rows == parts["used"] + parts["rejected"] + parts["duplicates"], parts
    assert sum(counts["splits"].values()) == parts["used"], counts["splits"]
    scored = sum(count_rows(path) for path in sorted((folder / "scored").iterdir()))
    assert scored == rows, scored
    print(f"\n{rows:,} rows = {parts['used']:,} used + {parts['rejected']:,} rejected + {parts['repeats']:,} repeats; ")
    print(f"{scored:,} rows scored; texts in two splits: {counts['leakage']}; MD5 of all that was written:")
    print(md5_of(folder / "data", folder / "scored"))


def md5_of(*folders: Path) -> str:
    """One MD5 of all files of some folders: that of an unbroken run is that of one in which workers were killed."""
    whole = md5()
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            whole.update(file_digest(file, "md5").digest())
    return whole.hexdigest()


def count_rows(path: Path) -> int:
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


if __name__ == "__main__":
    main()
