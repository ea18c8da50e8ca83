"""Prepare a file in this process, up to the checks that refuse a table as a whole."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from src.core.params import Params
from src.core.schema import SPLITS
from stages import prepare


class Prepared(NamedTuple):
    """What prepare made of a file: rows as (number, text, stars, slices), the counts of data.json, messages."""

    used: list[tuple[int, str, int, list[str | None]]]
    summary: dict[str, Any]
    rejects: str
    other_scale: str | None

    @property
    def texts(self) -> list[str]:
        return [text for _, text, _, _ in self.used]

    @property
    def stars(self) -> list[int]:
        return [stars for _, _, stars, _ in self.used]


def prepare_file(path: Path, params: Params) -> Prepared:
    """Read, split and write one file as prepare does."""
    folder = Path(tempfile.mkdtemp())
    try:
        work = prepare.Work(params.data, params.prepare, folder, folder / "scratch", 1, language="english")
        work.scratch.mkdir()
        source = prepare.SourceFile(0, str(path), None, extra=False)
        scan = prepare.scan_file(work, source)
        prepare.save_counts(work.scratch, [scan.buckets])
        prepare.resolve_bucket(work.scratch, 0.0, 0)
        file = prepare.ScannedFile(source, 0, scan.rows)
        summary = scan.summary + prepare.write_file(work, file)
        prepare.join_rejects(work, "rejects.csv", [file])
        tables = [pq.read_table(folder / f"{split}.parquet").to_pylist() for split in SPLITS]
        used = sorted((row["row"], row["text"], row["rating"], row["slices"]) for table in tables for row in table)
        return Prepared(used, summary.summary(), (folder / "rejects.csv").read_text("utf-8"), summary.other_scale)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def prepared(make_params: Callable[..., Params], tmp_path: Path) -> Callable[..., Prepared]:
    """Return a function that writes bytes to a file and prepares it: prepared("a.csv", b"...", text_column="text")."""

    def prepare_content(name: str, content: bytes, **data: Any) -> Prepared:
        path = tmp_path / name
        path.write_bytes(content)
        return prepare_file(path, make_params({f"data.{key}": value for key, value in data.items()}))

    return prepare_content
