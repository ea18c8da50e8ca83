"""Read the table of reviews; keep, reject and count every row; split before anything is learnt.

Each file is read once. Its rows wait in a scratch folder inside the output, through which the workers also exchange
arrays, until duplicates are resolved over all files. Extra reviews, without stars, go the same way, after the table: an
extra review whose text is in a split is a duplicate.
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
from src.core.files import atomic_write, file_state, write_json
from src.core.params import Data, Prepare, TableLanguage, read_params
from src.core.progress import progress_bar
from src.core.schema import EXTRA, SPLITS
from src.core.spreadsheets import escape_formula
from src.formats.record_files import ABOVE
from src.formats.sources import Source, file_name, find_files, local_copy
from src.tables.buckets import load_row_statuses, resolve_bucket, save_counts, save_usable
from src.tables.data_summary import DataSummary
from src.tables.readers import read_table, without_ratings
from src.tables.review_parquet import ReviewWriter, part_path
from src.tables.row_parser import KEPT, RowWriter, extra_row_parser, read_rows, row_parser, to_reviews
from src.tables.splitting import GROUPS, UsableRows, rejected_rows
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


class SourceFile(NamedTuple):
    """A file: its number, its location, its part of each output (None if it is the only file), and whether it is extra.

    extra: the file holds extra reviews, so their stars are not read.
    """

    number: int
    location: str
    part: int | None
    extra: bool

    @property
    def groups(self) -> tuple[str, ...]:
        """What the reviews of the file are divided into."""
        return (EXTRA,) if self.extra else SPLITS


class ScannedFile(NamedTuple):
    """A file, the number of rows in the files of its table before it, and its own."""

    source: SourceFile
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
    """What all tasks need: settings, output and scratch folder, number of buckets.

    cut_share: the share of train that becomes the valid split, because the split column has none. language: that of
    all reviews, or mixed.
    """

    data: Data
    settings: Prepare
    output: Path
    scratch: Path
    buckets: int
    cut_share: float = 0.0
    language: TableLanguage = "mixed"


def main() -> None:
    params = read_params(Path("params.yaml"))
    data, settings = params.data, params.prepare
    table, extra = find_files(data.path, "data.path"), find_files(data.extra_path, "data.extra_path", may_be_empty=True)
    sources = list_sources(table, extra)
    with atomic_write(OUTPUT) as temporary, open_executor(params.engine) as executor:
        work = Work(data, settings, temporary, temporary / "scratch", min(len(sources), BUCKETS))
        make_folders(work, sources)
        scans = executor.map(partial(scan_file, work), sources)
        files, extra_files = number_rows(sources, scans, extra=False), number_rows(sources, scans, extra=True)
        save_counts(work.scratch, [scan.buckets for scan in scans])
        if data.split_column is not None and lacks_valid(scans):
            work = work._replace(cut_share=settings.valid_share)
        resolve = partial(resolve_bucket, work.scratch, work.cut_share)
        leakage = executor.fold(resolve, add, range(work.buckets))
        data_summary = reduce(add, [scan.summary for scan in scans[: len(files)]])
        sample = detect(sample_texts(work, files)) if data.language == "auto" else []
        work = work._replace(language=dominant(sample) if data.language == "auto" else data.language)
        if work.language != "mixed":
            data_summary.add_languages(sample)
        data_summary += executor.fold(partial(write_file, work), add, files)
        extra_summary = executor.fold(partial(write_file, work), add, extra_files) if extra_files else DataSummary()
        summary = data_summary.summary() | {"leakage": leakage, "language": work.language}
        summary["extra"] = extra_summary.extra_summary()
        write_json(temporary / "language.json", work.language)
        check_table(data_summary, data, settings.max_rejected)
        join_rejects(work, "rejects.csv", files)
        if extra_files:
            join_rejects(work, "extra_rejects.csv", extra_files)
        else:
            with ReviewWriter(temporary / f"{EXTRA}.parquet"):
                pass
        if table.folder:
            write_file_index(temporary / "files.csv", files)
        shutil.rmtree(work.scratch)
    write_json(METRICS, summary)
    report(work, summary, zip(sources, scans, strict=True))


def list_sources(table: Source, extra: Source) -> list[SourceFile]:
    """Return the files of the table and then those of the extra reviews."""
    files = [
        (location, part if source.folder else None, source is extra)
        for source in (table, extra)
        for part, location in enumerate(source.files)
    ]
    return [SourceFile(number, *file) for number, file in enumerate(files)]


def make_folders(work: Work, sources: Iterable[SourceFile]) -> None:
    """Make the scratch folder, and a folder for each output that has several parts."""
    work.scratch.mkdir(parents=True)
    for path in {path.parent for source in sources for path in output_paths(work, source)}:
        path.mkdir(exist_ok=True)


def output_paths(work: Work, source: SourceFile) -> list[Path]:
    """Return where the reviews of each group of a file are written."""
    paths = [work.output / f"{group}.parquet" for group in source.groups]
    return paths if source.part is None else [part_path(path, source.part) for path in paths]


def number_rows(sources: Iterable[SourceFile], scans: Iterable[Scan], extra: bool) -> list[ScannedFile]:
    """Return the files of the table, or of the extra reviews, with the number of rows before each."""
    files, before = [], 0
    for source, scan in zip(sources, scans, strict=True):
        if source.extra == extra:
            files.append(ScannedFile(source, before, scan.rows))
            before += scan.rows
    return files


def lacks_valid(scans: Iterable[Scan]) -> bool:
    """Return whether there are train rows but no valid rows."""
    counts = dict(zip(GROUPS, np.sum([scan.splits for scan in scans], axis=0), strict=True))
    return bool(counts["train"]) and not counts["valid"]


def report(work: Work, summary: dict[str, Any], scanned: Iterable[tuple[SourceFile, Scan]]) -> None:
    """Print what was done, and what may be wrong."""
    splits = ", ".join(f"{split} {count}" for split, count in summary["splits"].items())
    print(f"prepare: {describe_rows(summary['rows'])}; {splits}")
    if summary["languages"]:
        found = ", ".join(f"{name} {share:.0%}" for name, share in summary["languages"].items() if share >= 0.005)
        print(f"prepare: language: {work.language} (found: {found})")
    if work.cut_share:
        became = f"{work.cut_share:.0%} of train, by hash, became valid"
        print(f"prepare: no row of {work.data.split_column} is valid: {became}")
    if above := summary["repaired"].get(ABOVE):
        print(f"prepare: {above} lines above the header are not read; if they are rows, correct the file")
    if summary["extra"]["read"]:
        print("prepare: extra reviews: {read} rows: {used} used, {rejected} not used".format(**summary["extra"]))
    for source, scan in scanned:
        lines, row = scan.longest
        if lines >= MANY_LINES:
            place = f"row {row} of {source.location} spans {lines} lines"
            print(f"prepare: {place}; if it holds other rows, set data.quoting to none, or close its quote")


def scan_file(work: Work, source: SourceFile) -> Scan:
    """Read a file: save its rows as they were read, and the digests of the usable ones, sorted by bucket."""
    settings, location = work.settings, source.location
    data = without_ratings(work.data) if source.extra else work.data
    path = local_copy(location, work.scratch / str(source.number), data.url_timeout, data.url_max_mb)
    state = file_state(path)
    table = read_table(path, data, location)
    usable = UsableRows(settings.valid_share, settings.test_share, settings.split_salt)
    parse = extra_row_parser(data) if source.extra else row_parser(data)
    with RowWriter(scratch_path(work, "rows", source)) as writer:
        for row in map(parse, progress_bar(table.rows, desc="read", unit=" rows", leave=False)):
            writer.add(row)
            usable.add(row)
    if file_state(path) != state:
        raise UserError(f"{location}: changed while it was read; run again when it is complete")
    rows = usable.array()
    buckets = save_usable(work.scratch, source.number, rows, work.buckets)
    summary = DataSummary()
    summary.add_table(table)
    splits = np.bincount(rows["split"], minlength=len(GROUPS))
    return Scan(usable.rows, buckets, splits, summary, table.findings.longest)


def scratch_path(work: Work, name: str, source: SourceFile) -> Path:
    return work.scratch / f"{name}-{source.number}"


def sample_texts(work: Work, files: Sequence[ScannedFile]) -> list[str]:
    """Return the texts of about LANGUAGE_SAMPLE train reviews, evenly over the table."""
    step = max(1, sum(file.rows for file in files) // LANGUAGE_SAMPLE)
    texts: list[str] = []
    for file in files:
        row_statuses, splits = load_row_statuses(work.scratch, work.cut_share, file.source.number, file.rows)
        train = (row_statuses >= 0) & (splits == SPLITS.index("train"))
        chosen = np.zeros(file.rows, bool)
        chosen[np.flatnonzero(train)[::step]] = True
        done = 0
        for batch in read_rows(scratch_path(work, "rows", file.source)):
            found = batch.column("text").filter(pa.array(chosen[done : done + len(batch)])).to_pylist()
            texts += [text[:KEPT] for text in found]
            done += len(batch)
    return texts


def write_file(work: Work, file: ScannedFile) -> DataSummary:
    """Write the reviews of a file to its part of each group, and its rejected rows; count both."""
    data_summary = DataSummary()
    find_languages = detect if work.language == "mixed" else lambda texts: [work.language] * len(texts)
    row_statuses, splits = load_row_statuses(work.scratch, work.cut_share, file.source.number, file.rows)
    with ExitStack() as files:

        def temporary(path: Path) -> Path:
            return files.enter_context(atomic_write(path))

        writers = [files.enter_context(ReviewWriter(temporary(path))) for path in output_paths(work, file.source)]
        rejects_file = temporary(scratch_path(work, "rejects", file.source)).open(
            "w", encoding="utf-8", errors="replace", newline=""
        )
        rejects = csv.writer(files.enter_context(rejects_file), quoting=csv.QUOTE_ALL, lineterminator="\n")
        done = 0
        for batch in progress_bar(read_rows(scratch_path(work, "rows", file.source)), desc="prepare", unit=" batches"):
            rows = slice(done, done + len(batch))
            numbers = np.arange(rows.start, rows.stop) + file.rows_before + 1
            status, split = row_statuses[rows], splits[rows]
            used, done = status >= 0, rows.stop
            reviews = to_reviews(batch.filter(pa.array(used)), numbers[used], find_languages)
            for group, writer in zip(file.source.groups, writers, strict=True):
                writer.add(reviews.filter(pa.array(split[used] == GROUPS.index(group))))
            if work.language == "mixed":
                data_summary.add_languages(reviews.column("language").to_pylist())
            stars, words = (batch.column(name).fill_null(0).to_numpy()[used] for name in ("stars", "words"))
            data_summary.add_used(stars, split[used], words, status[used])
            for row in rejected_rows(batch, numbers, status):
                data_summary.add_rejected(row)
                cells = row.reason, row.rating, (row.text or "")[:KEPT]
                rejects.writerow([row.number, *map(escape_formula, cells)])
    return data_summary


def join_rejects(work: Work, name: str, files: Iterable[ScannedFile]) -> None:
    """Join the rejected rows of all files below one header."""
    with (work.output / name).open("wb") as whole:
        whole.write(b'"row","reason","rating","text"\n')
        for file in files:
            with scratch_path(work, "rejects", file.source).open("rb") as part:
                shutil.copyfileobj(part, whole)


def write_file_index(path: Path, files: Iterable[ScannedFile]) -> None:
    """Write a table of which rows come from which file."""
    with path.open("w", encoding="utf-8", errors="replace", newline="") as opened:
        writer = csv.writer(opened, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(["file", "first_row", "rows"])
        for file in files:
            name = escape_formula(file_name(file.source.location))
            writer.writerow([name, file.rows_before + 1, file.rows])


if __name__ == "__main__":
    run(main)
