"""Read the table of reviews; keep, reject and count every row; split before anything is learnt.

Each file of the table is read twice: first to digest its texts, then, after duplicates have been resolved over all
files, to write its reviews. In between, the workers exchange arrays through a scratch folder inside the output.
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
from src.tables.ratings import rating_reader
from src.tables.readers import read_table
from src.tables.review_parquet import ReviewWriter, part_path
from src.tables.sources import file_name, find_files, local_copy
from src.tables.splitting import (
    UNUSABLE,
    DataSummary,
    RejectedRow,
    RowParser,
    classify_rows,
    count_leakage,
    resolve_duplicates,
    scan_rows,
    sort_by_bucket,
)

OUTPUT = Path("data/prepare")
METRICS = Path("metrics/data.json")
BUCKETS = 256
"""The most buckets. There is one for each file up to this, so that a bucket needs about as much memory as a file."""


class TableFile(NamedTuple):
    """A file of the table: its number, its path, the number of rows in the files before it, and its own.

    state: its size and modification time, which show whether it has changed.
    """

    number: int
    location: str
    state: tuple[int, int]
    rows_before: int
    rows: int


class Work(NamedTuple):
    """What all tasks need: settings, output and scratch folder, number of buckets, whether the table is a folder."""

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
        rows_before = np.cumsum([0, *rows]).tolist()[:-1]
        parts = [TableFile(*each) for each in zip(range(len(rows)), paths, states, rows_before, rows, strict=True)]
        save(work.scratch / "counts.npy", np.array(counts))
        leakage = executor.fold(partial(resolve_bucket, work), add, range(work.buckets))
        data_summary = executor.fold(partial(write_file, work), add, parts)
        summary = data_summary.summary() | {"leakage": leakage}
        if other_scale := data_summary.other_scale:
            raise UserError(f"{data.path}: {other_scale}")
        if data_summary.rejected_share > settings.max_rejected:
            problem = f"{data.path}: {data_summary.describe_rejected()}"
            raise UserError(f"{problem}; check the data settings, or raise prepare.max_rejected")
        rows_text = "{read} rows: {used} used, {rejected} rejected, {duplicates} duplicates".format(**summary["rows"])
        for split, count in summary["splits"].items():
            if not count:
                cause = "data.split_column" if data.split_column else "prepare.valid_share and prepare.test_share"
                raise UserError(f"{data.path}: no usable review for the {split} split ({rows_text}); check {cause}")
        if max(summary["stars"].values()) == data_summary.stars.total():
            raise UserError(f"{data.path}: all reviews have the same rating ({rows_text}); check data.rating_column")
        join_rejects(work, parts)
        if source.folder:
            write_file_index(temporary / "files.csv", source.files, parts)
        shutil.rmtree(work.scratch)
    write_json(METRICS, summary)
    print(f"prepare: {rows_text};", ", ".join(f"{split} {count}" for split, count in summary["splits"].items()))


def scan_file(work: Work, file: tuple[int, str]) -> tuple[str, tuple[int, int], int, np.ndarray]:
    """Save the usable rows of a file, sorted by bucket.

    Returns the local path of the file, its state, its number of rows, and the number of usable rows in each bucket.
    """
    number, location = file
    data, settings = work.data, work.settings
    path = local_copy(location, work.scratch / str(number), data.url_timeout, data.url_max_mb)
    state = state_of(path)
    rows = progress_bar(read_table(path, data).rows, desc="read", unit=" rows", leave=False)
    read, usable = scan_rows(rows, settings.valid_share, settings.test_share, settings.split_salt, parser_for(data))
    usable, counts = sort_by_bucket(usable, work.buckets)
    save(work.scratch / f"usable-{number}.npy", usable)
    return str(path), state, read, counts


def parser_for(data: Data) -> RowParser:
    """Return what reads the cells of a row by the settings of the table."""
    scale = (data.rating_scale[0], data.rating_scale[1]) if data.rating_scale else None
    return RowParser(data.split_column is not None, rating_reader(scale, data.rating_map), frozenset(data.missing))


def state_of(path: Path) -> tuple[int, int]:
    """Return the size of a file and the time of its last change."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def resolve_bucket(work: Work, bucket: int) -> int:
    """Save the statuses of the rows of a bucket, over all files in order; return the number of leaking texts."""
    counts = load(work.scratch / "counts.npy")
    starts = np.cumsum(counts, axis=1) - counts
    rows = concatenate_slices(work.scratch, "usable", starts[:, bucket], counts[:, bucket])
    row_statuses = resolve_duplicates(rows)
    save(work.scratch / f"statuses-{bucket}.npy", row_statuses)
    return count_leakage(rows[row_statuses >= 0])


def load_row_statuses(work: Work, part: TableFile) -> tuple[np.ndarray, np.ndarray]:
    """Return the status of each row of a file and the index of its split, both int8 [rows], from the buckets."""
    counts = load(work.scratch / "counts.npy")
    starts = np.cumsum(counts, axis=0) - counts
    usable = load(work.scratch / f"usable-{part.number}.npy")
    row_statuses, splits = np.full(part.rows, UNUSABLE, np.int8), np.zeros(part.rows, np.int8)
    row_statuses[usable["row"]] = concatenate_slices(work.scratch, "statuses", starts[part.number], counts[part.number])
    splits[usable["row"]] = usable["split"]
    return row_statuses, splits


def concatenate_slices(folder: Path, name: str, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Concatenate one slice of each file name-0.npy, name-1.npy, ..., given by its start and its number of rows."""
    slices = enumerate(zip(starts, counts, strict=True))
    # Copied, because each memory map keeps a file open.
    return np.concatenate(
        [np.array(load(folder / f"{name}-{i}.npy")[start : start + count]) for i, (start, count) in slices]
    )


def write_file(work: Work, part: TableFile) -> DataSummary:
    """Write the reviews of a file to its part of each split, and its rejected rows; count both."""
    data_summary = DataSummary()
    table = read_table(Path(part.location), work.data)
    rows = classify_rows(table.rows, part.rows_before, *load_row_statuses(work, part), parser_for(work.data))
    with ExitStack() as files:

        def temporary(path: Path) -> Path:
            return files.enter_context(atomic_write(path))

        paths = {split: work.output / f"{split}.parquet" for split in SPLITS}
        if work.folder:
            paths = {split: part_path(path, part.number) for split, path in paths.items()}
        writers = {split: files.enter_context(ReviewWriter(temporary(path))) for split, path in paths.items()}
        rejects_file = temporary(rejects_path(work, part)).open("w", encoding="utf-8", errors="replace", newline="")
        rejects = csv.writer(files.enter_context(rejects_file), quoting=csv.QUOTE_ALL, lineterminator="\n")
        for row in progress_bar(rows, desc="prepare", unit=" rows"):
            data_summary.add(row)
            if isinstance(row, RejectedRow):
                rejects.writerow([row.number, row.reason, *map(spreadsheet_safe, (row.rating, row.text))])
            else:
                number, text, rating, split, true_probabilities, _, slices = row
                writers[split].add(number, text, rating, slices, true_probabilities)
        if state_of(Path(part.location)) != part.state:
            raise UserError(f"{part.location}: changed while it was read; run again when it is complete")
    data_summary.add_table(table)
    return data_summary


def rejects_path(work: Work, part: TableFile) -> Path:
    return work.scratch / f"rejects-{part.number}.csv"


def join_rejects(work: Work, parts: Iterable[TableFile]) -> None:
    """Join the rejected rows of all files below one header."""
    with (work.output / "rejects.csv").open("wb") as whole:
        whole.write(b'"row","reason","rating","text"\n')
        for part in parts:
            with rejects_path(work, part).open("rb") as file:
                shutil.copyfileobj(file, whole)


def write_file_index(path: Path, files: Iterable[str], parts: Iterable[TableFile]) -> None:
    """Write a table of which rows come from which file."""
    with path.open("w", encoding="utf-8", errors="replace", newline="") as opened:
        writer = csv.writer(opened, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(["file", "first_row", "rows"])
        for file, part in zip(files, parts, strict=True):
            writer.writerow([file_name(file), part.rows_before + 1, part.rows])


def save(path: Path, values: np.ndarray) -> None:
    packed = io.BytesIO()
    np.save(packed, values, allow_pickle=False)
    with atomic_write(path) as temporary:
        temporary.write_bytes(packed.getbuffer())  # np.save would hide why a write failed


def load(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


if __name__ == "__main__":
    run(main)
