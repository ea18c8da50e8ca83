"""Read the table of reviews; keep, reject and count every row; split before anything is learnt.

Each file of the table is read once. Its rows wait in a scratch folder inside the output, through which the workers also
exchange arrays, until duplicates are resolved over all files.
"""

import csv
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from src.core.errors import UserError, run
from src.core.executor import open_executor
from src.core.files import atomic_write, read_array, spreadsheet_safe, write_array, write_json
from src.core.params import Data, Prepare, TableLanguage, read_params
from src.core.progress import progress_bar
from src.core.schema import SPLITS
from src.formats.record_files import ABOVE
from src.formats.sources import file_name, find_files, local_copy
from src.tables.data_summary import DataSummary
from src.tables.readers import read_table
from src.tables.review_parquet import ReviewWriter, part_path
from src.tables.row_parser import RowWriter, parser_for, read_rows, to_reviews
from src.tables.splitting import (
    UNUSABLE,
    UsableRows,
    count_leakage,
    cut_valid,
    rejected_rows,
    resolve_duplicates,
    sort_by_bucket,
)
from src.tables.table_checks import check_table, describe_rows
from src.text.languages import detect, dominant

OUTPUT = Path("data/prepare")
METRICS = Path("metrics/data.json")
BUCKETS = 256
"""The most buckets. There is one for each file up to this, so that a bucket needs about as much memory as a file."""
LANGUAGE_SAMPLE = 2000
"""Rows of the table from which data.language: auto finds its language."""
MANY_LINES = 50
"""Lines of a row from which on it is reported."""


class TableFile(NamedTuple):
    """A file of the table: its number, its name, the number of rows in the files before it, and its own."""

    number: int
    name: str
    rows_before: int
    rows: int


class Scan(NamedTuple):
    """What scan_file found: the number of rows, the usable rows in each bucket and in each split, how it was read."""

    rows: int
    buckets: np.ndarray
    splits: np.ndarray
    summary: DataSummary
    longest: tuple[int, int]


class Work(NamedTuple):
    """What all tasks need: settings, output and scratch folder, number of buckets, whether the table is a folder.

    cut_valid: whether the valid split is cut from train, because the split column has none. language: that of all
    reviews, or mixed.
    """

    data: Data
    settings: Prepare
    output: Path
    scratch: Path
    buckets: int
    folder: bool
    cut_valid: bool = False
    language: TableLanguage = "mixed"


def main() -> None:
    params = read_params(Path("params.yaml"))
    data, settings = params.data, params.prepare
    source = find_files(data.path, "data.path")
    with atomic_write(OUTPUT) as temporary, open_executor(params.engine) as executor:
        work = Work(data, settings, temporary, temporary / "scratch", min(len(source.files), BUCKETS), source.folder)
        for folder in [work.scratch, *([temporary / f"{split}.parquet" for split in SPLITS] if source.folder else [])]:
            folder.mkdir(parents=True)
        scans = executor.map(partial(scan_file, work), enumerate(source.files))
        files = number_rows(source.files, scans)
        write_array(work.scratch / "counts.npy", np.array([scan.buckets for scan in scans]))
        work = work._replace(cut_valid=data.split_column is not None and lacks_valid(scans))
        leakage = executor.fold(partial(resolve_bucket, work), add, range(work.buckets))
        data_summary = reduce(add, [scan.summary for scan in scans])
        sample = detect(sample_texts(work, files)) if data.language == "auto" else []
        work = work._replace(language=dominant(sample) if data.language == "auto" else data.language)
        if work.language != "mixed":
            data_summary.add_languages(sample)
        data_summary += executor.fold(partial(write_file, work), add, files)
        summary = data_summary.summary() | {"leakage": leakage, "language": work.language}
        write_json(temporary / "language.json", work.language)
        check_table(data_summary, data, settings.max_rejected)
        join_rejects(work, files)
        if source.folder:
            write_file_index(temporary / "files.csv", source.files, files)
        shutil.rmtree(work.scratch)
    write_json(METRICS, summary)
    report(work, summary, files, scans)


def number_rows(names: Iterable[str], scans: Sequence[Scan]) -> list[TableFile]:
    """Return the files with the number of rows before each."""
    before = np.cumsum([0, *(scan.rows for scan in scans)]).tolist()
    pairs = enumerate(zip(names, scans, strict=True))
    return [TableFile(number, name, before[number], scan.rows) for number, (name, scan) in pairs]


def lacks_valid(scans: Iterable[Scan]) -> bool:
    """Return whether there are train rows but no valid rows."""
    counts = dict(zip(SPLITS, np.sum([scan.splits for scan in scans], axis=0), strict=True))
    return bool(counts["train"]) and not counts["valid"]


def report(work: Work, summary: dict[str, Any], files: Iterable[TableFile], scans: Iterable[Scan]) -> None:
    """Print what was done, and what may be wrong."""
    splits = ", ".join(f"{split} {count}" for split, count in summary["splits"].items())
    print(f"prepare: {describe_rows(summary['rows'])}; {splits}")
    if summary["languages"]:
        found = ", ".join(f"{name} {share:.0%}" for name, share in summary["languages"].items() if share >= 0.005)
        print(f"prepare: language: {work.language} (found: {found})")
    if work.cut_valid:
        share = work.settings.valid_share
        print(f"prepare: no row of {work.data.split_column} is valid: {share:.0%} of train, by hash, became valid")
    if above := summary["repaired"].get(ABOVE):
        print(f"prepare: {above} lines above the header are not read; if they are rows, correct the file")
    for file, scan in zip(files, scans, strict=True):
        lines, row = scan.longest
        if lines >= MANY_LINES:
            place = f"row {row} of {file.name} spans {lines} lines"
            print(f"prepare: {place}; if it holds other rows, set data.quoting to none, or close its quote")


def scan_file(work: Work, file: tuple[int, str]) -> Scan:
    """Read a file: save its rows as they were read, and the digests of the usable ones, sorted by bucket."""
    number, location = file
    data, settings = work.data, work.settings
    path = local_copy(location, work.scratch / str(number), data.url_timeout, data.url_max_mb)
    state = state_of(path)
    table = read_table(path, data, location)
    usable = UsableRows(settings.valid_share, settings.test_share, settings.split_salt)
    with RowWriter(rows_path(work, number)) as writer:
        for row in map(parser_for(data).parse, progress_bar(table.rows, desc="read", unit=" rows", leave=False)):
            writer.add(row)
            usable.add(row)
    if state_of(path) != state:
        raise UserError(f"{location}: changed while it was read; run again when it is complete")
    sorted_rows, buckets = sort_by_bucket(usable.array(), work.buckets)
    write_array(work.scratch / f"usable-{number}.npy", sorted_rows)
    summary = DataSummary()
    summary.add_table(table)
    splits = np.bincount(sorted_rows["split"], minlength=len(SPLITS))
    return Scan(usable.rows, buckets, splits, summary, table.findings.longest)


def state_of(path: Path) -> tuple[int, int]:
    """Return the size of a file and the time of its last change."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def rows_path(work: Work, number: int) -> Path:
    return work.scratch / f"rows-{number}.parquet"


def resolve_bucket(work: Work, bucket: int) -> int:
    """Save the statuses of the rows of a bucket, over all files in order; return the number of leaking texts."""
    counts = read_array(work.scratch / "counts.npy")
    starts = np.cumsum(counts, axis=1) - counts
    rows = concatenate_slices(work.scratch, "usable", starts[:, bucket], counts[:, bucket])
    if work.cut_valid:
        rows = cut_valid(rows, work.settings.valid_share)
    row_statuses = resolve_duplicates(rows)
    write_array(work.scratch / f"statuses-{bucket}.npy", row_statuses)
    return count_leakage(rows[row_statuses >= 0])


def load_row_statuses(work: Work, part: TableFile) -> tuple[np.ndarray, np.ndarray]:
    """Return the status of each row of a file and the index of its split, both int8 [rows], from the buckets."""
    counts = read_array(work.scratch / "counts.npy")
    starts = np.cumsum(counts, axis=0) - counts
    usable = read_array(work.scratch / f"usable-{part.number}.npy")
    if work.cut_valid:
        usable = cut_valid(usable, work.settings.valid_share)
    row_statuses, splits = np.full(part.rows, UNUSABLE, np.int8), np.zeros(part.rows, np.int8)
    row_statuses[usable["row"]] = concatenate_slices(work.scratch, "statuses", starts[part.number], counts[part.number])
    splits[usable["row"]] = usable["split"]
    return row_statuses, splits


def concatenate_slices(folder: Path, name: str, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Concatenate one slice of each file name-0.npy, name-1.npy, ..., given by its start and its number of rows."""
    slices = enumerate(zip(starts, counts, strict=True))
    # Copied, because each memory map keeps a file open.
    return np.concatenate(
        [np.array(read_array(folder / f"{name}-{i}.npy")[start : start + count]) for i, (start, count) in slices]
    )


def sample_texts(work: Work, files: Iterable[TableFile]) -> list[str]:
    """Return the texts of about LANGUAGE_SAMPLE train reviews, evenly over the table."""
    files = list(files)
    step = max(1, sum(file.rows for file in files) // LANGUAGE_SAMPLE)
    texts: list[str] = []
    for file in files:
        row_statuses, splits = load_row_statuses(work, file)
        train = (row_statuses >= 0) & (splits == SPLITS.index("train"))
        chosen = np.zeros(file.rows, bool)
        chosen[np.flatnonzero(train)[::step]] = True
        done = 0
        for batch in read_rows(rows_path(work, file.number)):
            texts += batch.column("text").filter(pa.array(chosen[done : done + len(batch)])).to_pylist()
            done += len(batch)
    return texts


def write_file(work: Work, part: TableFile) -> DataSummary:
    """Write the reviews of a file to its part of each split, and its rejected rows; count both."""
    data_summary = DataSummary()
    find_languages = detect if work.language == "mixed" else lambda texts: [work.language] * len(texts)
    row_statuses, splits = load_row_statuses(work, part)
    with ExitStack() as files:

        def temporary(path: Path) -> Path:
            return files.enter_context(atomic_write(path))

        paths = {split: work.output / f"{split}.parquet" for split in SPLITS}
        if work.folder:
            paths = {split: part_path(path, part.number) for split, path in paths.items()}
        writers = [files.enter_context(ReviewWriter(temporary(path))) for path in paths.values()]
        rejects_file = temporary(rejects_path(work, part)).open("w", encoding="utf-8", errors="replace", newline="")
        rejects = csv.writer(files.enter_context(rejects_file), quoting=csv.QUOTE_ALL, lineterminator="\n")
        done = 0
        for batch in progress_bar(read_rows(rows_path(work, part.number)), desc="prepare", unit=" batches"):
            rows = slice(done, done + len(batch))
            numbers, status, split = (
                np.arange(rows.start, rows.stop) + part.rows_before + 1,
                row_statuses[rows],
                splits[rows],
            )
            used, done = status >= 0, rows.stop
            reviews = to_reviews(batch.filter(pa.array(used)), numbers[used], find_languages)
            for index, writer in enumerate(writers):
                writer.add(reviews.filter(pa.array(split[used] == index)))
            if work.language == "mixed":
                data_summary.add_languages(reviews.column("language").to_pylist())
            stars, words = (batch.column(name).to_numpy(zero_copy_only=False)[used] for name in ("stars", "words"))
            data_summary.add_used(stars, split[used], words, status[used])
            for row in rejected_rows(batch, numbers, status):
                data_summary.add_rejected(row)
                rejects.writerow([row.number, row.reason, *map(spreadsheet_safe, (row.rating, row.text))])
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


if __name__ == "__main__":
    run(main)
