"""Read the table of reviews; keep, reject and count every row; split before anything is learnt.

Each file of the table is read twice: to see which texts it holds, and to write its reviews, once it is settled over all
files which rows are used. What the workers tell each other lies meanwhile in a folder within the output.
"""

import csv
import io
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from operator import add
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.core.errors import UserError, run
from src.core.executor import open_executor
from src.core.files import atomic_write, spreadsheet_safe, write_json
from src.core.params import Data, Prepare, read_params
from src.core.progress import progress_bar
from src.core.schema import SPLITS
from src.tables.readers import read_table
from src.tables.review_parquet import ReviewWriter, part_path
from src.tables.sources import file_name, find_files, local_copy
from src.tables.splitting import (
    UNUSABLE,
    DataSummary,
    RejectedRow,
    by_bucket,
    classify_rows,
    count_leakage,
    resolve_duplicates,
    scan_rows,
)

OUTPUT = Path("data/prepare")
METRICS = Path("metrics/data.json")
BUCKETS = 256
"""Buckets at most; there are as many as files, so that settling one takes about the memory that reading one does."""


class TableFile(NamedTuple):
    """A file of the table: its number, where it lies, how many rows stand before its own, and how many it has.

    state: what changes when the file is written to.
    """

    number: int
    location: str
    state: tuple[int, int]
    before: int
    rows: int


class Work(NamedTuple):
    """What all tasks need: settings, the folders of what they write, the number of buckets, whether files are parts."""

    data: Data
    settings: Prepare
    output: Path
    scratch: Path
    buckets: int
    folder: bool


def main() -> None:
    params = read_params(Path("params.yaml"))
    data, settings = params.data, params.prepare
    source = find_files(data.path, "data.path")
    with atomic_write(OUTPUT) as temporary, open_executor(params.engine) as executor:
        work = Work(data, settings, temporary, temporary / "scratch", min(len(source.files), BUCKETS), source.folder)
        for folder in [work.scratch, *([temporary / f"{split}.parquet" for split in SPLITS] if source.folder else [])]:
            folder.mkdir(parents=True)
        scans = executor.map(partial(scan_file, work), enumerate(source.files))
        paths, states, rows, counts = zip(*scans, strict=True)
        before = np.cumsum([0, *rows]).tolist()[:-1]
        parts = [TableFile(*each) for each in zip(range(len(rows)), paths, states, before, rows, strict=True)]
        save(work.scratch / "counts.npy", np.array(counts))
        leaking = executor.fold(partial(resolve_bucket, work), add, range(work.buckets))
        data_summary = executor.fold(partial(write_file, work), add, parts)
        summary = data_summary.summary() | {"leakage": leaking}
        if data_summary.rejected_share > settings.max_rejected:
            raise UserError(f"{data.path}: {data_summary.rejection()}; see data, or raise prepare.max_rejected")
        for split, count in summary["splits"].items():
            if not count:
                raise UserError(f"{data.path}: no usable review for the {split} split; reasons: {summary['rejected']}")
        if max(summary["stars"].values()) == summary["rows"]["used"]:
            raise UserError(f"{data.path}: all {summary['rows']['used']} reviews have the same stars: nothing to learn")
        join_rejects(work, parts)
        if source.folder:
            name_files(temporary / "files.csv", source.files, parts)
        shutil.rmtree(work.scratch)
    write_json(METRICS, summary)
    counted = summary["rows"]
    print(
        f"prepare: {counted['read']} rows: {counted['used']} used, {counted['rejected']} rejected, "
        f"{counted['duplicates']} duplicates; {summary['splits']}"
    )


def scan_file(work: Work, file: tuple[int, str]) -> tuple[str, tuple[int, int], int, np.ndarray]:
    """Leave the rows of a file that could be used, in order of their buckets.

    Returns where the file lies from now on, its state, how many rows it has, and how many each bucket has of them.
    """
    number, location = file
    data, settings = work.data, work.settings
    path = local_copy(location, work.scratch / str(number), data.url_timeout, data.url_max_mb)
    state = state_of(path)
    rows = progress_bar(read_table(path, data).rows, desc="read", unit=" rows", leave=False)
    given = data.split_column is not None
    read, usable = scan_rows(rows, settings.valid_share, settings.test_share, settings.split_salt, given)
    usable, counts = by_bucket(usable, work.buckets)
    save(work.scratch / f"usable-{number}.npy", usable)
    return str(path), state, read, counts


def state_of(path: Path) -> tuple[int, int]:
    """Size and time of the last change."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def resolve_bucket(work: Work, bucket: int) -> int:
    """Leave how the rows of a bucket stand, over all files in order; count the texts that stand in two splits."""
    counts = load(work.scratch / "counts.npy")
    starts = np.cumsum(counts, axis=1) - counts
    rows = gather(work.scratch, "usable", starts[:, bucket], counts[:, bucket])
    row_statuses = resolve_duplicates(rows)
    save(work.scratch / f"standings-{bucket}.npy", row_statuses)
    return count_leakage(rows[row_statuses >= 0])


def row_statuses_of(work: Work, part: TableFile) -> tuple[np.ndarray, np.ndarray]:
    """How each row of a file stands, and its place in SPLITS, put together again from the buckets."""
    counts = load(work.scratch / "counts.npy")
    starts = np.cumsum(counts, axis=0) - counts
    usable = load(work.scratch / f"usable-{part.number}.npy")
    row_statuses, splits = np.full(part.rows, UNUSABLE, np.int8), np.zeros(part.rows, np.int8)
    row_statuses[usable["row"]] = gather(work.scratch, "standings", starts[part.number], counts[part.number])
    splits[usable["row"]] = usable["split"]
    return row_statuses, splits


def gather(folder: Path, name: str, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Join `counts` rows from `starts` on of the files name-0.npy, name-1.npy, ..."""
    slices = enumerate(zip(starts, counts, strict=True))
    # Copied, for each that is mapped holds a file open.
    return np.concatenate(
        [np.array(load(folder / f"{name}-{at}.npy")[start : start + count]) for at, (start, count) in slices]
    )


def write_file(work: Work, part: TableFile) -> DataSummary:
    """Write the reviews of a file to its part of each split, and what is rejected; count both."""
    data_summary = DataSummary()
    table = read_table(Path(part.location), work.data)
    verdicts = classify_rows(table.rows, part.before, *row_statuses_of(work, part), work.data.split_column is not None)
    with ExitStack() as files:

        def temporary(path: Path) -> Path:
            return files.enter_context(atomic_write(path))

        places = {split: work.output / f"{split}.parquet" for split in SPLITS}
        if work.folder:
            places = {split: part_path(place, part.number) for split, place in places.items()}
        writers = {split: files.enter_context(ReviewWriter(temporary(place))) for split, place in places.items()}
        rejects_file = temporary(rejects_path(work, part)).open("w", encoding="utf-8", errors="replace", newline="")
        rejects = csv.writer(files.enter_context(rejects_file), quoting=csv.QUOTE_ALL, lineterminator="\n")
        for verdict in progress_bar(verdicts, desc="prepare", unit=" rows"):
            data_summary.add(verdict)
            if isinstance(verdict, RejectedRow):
                rejects.writerow(
                    [verdict.number, verdict.reason, *map(spreadsheet_safe, (verdict.rating, verdict.text))]
                )
            else:
                number, text, rating, split, true_probabilities, _, slices = verdict
                writers[split].add(number, text, rating, slices, true_probabilities)
        if state_of(Path(part.location)) != part.state:
            raise UserError(f"{part.location}: changed while it was read; run again when it is complete")
    data_summary.add_table(table)
    return data_summary


def rejects_path(work: Work, part: TableFile) -> Path:
    return work.scratch / f"rejects-{part.number}.csv"


def join_rejects(work: Work, parts: Iterable[TableFile]) -> None:
    """Put what was rejected of all files below one header."""
    with (work.output / "rejects.csv").open("wb") as whole:
        whole.write(b'"row","reason","rating","text"\n')
        for part in parts:
            with rejects_path(work, part).open("rb") as file:
                shutil.copyfileobj(file, whole)


def name_files(path: Path, files: Iterable[str], parts: Iterable[TableFile]) -> None:
    """Say which rows come from which file."""
    with path.open("w", encoding="utf-8", errors="replace", newline="") as opened:
        writer = csv.writer(opened, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(["file", "first_row", "rows"])
        writer.writerows([file_name(file), part.before + 1, part.rows] for file, part in zip(files, parts, strict=True))


def save(path: Path, values: np.ndarray) -> None:
    packed = io.BytesIO()
    np.save(packed, values, allow_pickle=False)
    with atomic_write(path) as temporary:
        temporary.write_bytes(packed.getbuffer())  # np.save would not say why a disk refuses


def load(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


if __name__ == "__main__":
    run(main)
