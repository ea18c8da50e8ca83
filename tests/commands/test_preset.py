"""Presets for known exporters: what they set in params.yaml, and that their columns are those of the exporter."""

import os
import shutil
import subprocess
import sys
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest

from commands.preset import edit, read_presets, settings_of
from src.core.errors import UserError
from src.core.files import parse_yaml
from src.core.params import Data, read_params
from src.tables.ratings import rating_reader
from src.tables.readers import read_table
from src.tables.row_parser import RowParser
from tests.commands.exporter_files import FILES
from tests.conftest import ROOT

PRESETS = read_presets(ROOT / "presets.yaml")
COMMITTED = (ROOT / "params.yaml").read_bytes()
TEXT = COMMITTED.decode()
KEPT = {"path", "extra_path", "language", "missing", "url_timeout", "url_max_mb", "max_text", "max_unpacked_mb"}
"""Keys of `data` that do not depend on the exporter."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the params.yaml and the presets.yaml of the project."""
    for name in ("params.yaml", "presets.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def preset(folder: Path, *arguments: str, ok: bool = True) -> str:
    """Run the command in `folder` and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "commands.preset", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is ok, done.stderr
    return done.stdout if ok else done.stderr


def data_of(text: str) -> dict[str, Any]:
    return parse_yaml(text, "params.yaml")["data"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_every_key_that_depends_on_the_exporter(name: str, tmp_path: Path) -> None:
    settings = settings_of(name, PRESETS)
    assert settings.keys() | KEPT == Data.model_fields.keys()
    assert settings.keys() & KEPT == ({"path"} if name == "default" else set())
    (tmp_path / "params.yaml").write_text(edit(TEXT, settings), encoding="utf-8")
    data = read_params(tmp_path / "params.yaml").data.model_dump()
    assert data == data_of(TEXT) | settings


@pytest.mark.parametrize("name", PRESETS)
def test_other_lines_and_all_comments_stay(name: str) -> None:
    before, after = (text.splitlines(keepends=True) for text in (TEXT, edit(TEXT, settings_of(name, PRESETS))))
    keys = ("  text_column:", "  rating_column:")
    differing = [line[1:] for line in unified_diff(before, after, n=0) if not line.startswith(("---", "+++", "@@"))]
    assert all(line.startswith((*keys, "  - ")) for line in differing)
    for key in keys:
        comments = [line.partition("  #")[2] for line in (*before, *after) if line.startswith(key)]
        assert len(comments) == 2
        assert comments[0] == comments[1] != ""


@pytest.mark.parametrize("first", PRESETS)
@pytest.mark.parametrize("second", PRESETS)
def test_nothing_of_the_first_preset_is_left_after_the_second(first: str, second: str) -> None:
    settings = settings_of(second, PRESETS)
    after_both = edit(edit(TEXT, settings_of(first, PRESETS) | {"path": "data/mine.csv"}), settings)
    assert after_both == edit(TEXT, settings | {"path": settings.get("path", "data/mine.csv")})


def test_every_setting_of_a_table_goes_back_to_the_committed_bytes(folder: Path) -> None:
    others = {
        "text_column": ["a, b", "c # d", "null"],
        "rating_column": "7",
        "rating_scale": [0.0, 10.0],
        "rating_map": {"bad": 1, "good": 5},
        "split_column": "part",
        "slice_columns": ["x"],
        "format": "parquet",
        "encoding": "latin-1",
        "separator": "\t",
        "quoting": "none",
    }
    text = edit(TEXT, others)
    assert data_of(text) == data_of(TEXT) | others
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    printed = preset(folder, "default")
    assert (folder / "params.yaml").read_bytes() == COMMITTED
    assert "data.rating_map: {bad: 1, good: 5} -> empty\n" in printed
    assert "data.text_column: [a, b, c # d, null] -> content\n" in printed


def test_own_layout_stays(folder: Path) -> None:
    own = TEXT.replace("  slice_columns:", "  # my columns:\n\n  slice_columns:")
    own = own.replace(
        "\n  - reviewCreatedVersion\n  - at\n", "\n    - reviewCreatedVersion\n    # when\n    - at\n\n  # my note\n"
    )
    own = own.replace("  text_column: content        # the column", '  text_column: "content" # the column')
    own = own.replace("\n", "\r\n")
    (folder / "params.yaml").write_bytes(own.encode())
    preset(folder, "trustpilot")
    after = (folder / "params.yaml").read_bytes().decode()
    gone = ['  text_column: "content" # the', "  rating_column: score  ", "    - rev", "    - at", "    # when"]
    kept = [line for line in own.splitlines(keepends=True) if not line.startswith(tuple(gone))]
    new = ["  text_column: [title, text]", "  rating_column: stars", "  - language", "  - createdAt"]
    assert [line for line in after.splitlines(keepends=True) if not line.startswith(tuple(new))] == kept
    assert after.count("\n") == after.count("\r\n")
    assert "  - language\r\n  - createdAt\r\n\r\n  # my note\r\n  language: english" in after


def test_the_command_prints_what_changed(folder: Path) -> None:
    printed = preset(folder, "play_console", "--path", "data/mine.csv")
    assert printed.splitlines() == [
        "data.path: data/raw/reviews.csv -> data/mine.csv",
        "data.text_column: content -> [Review Title, Review Text]",
        "data.rating_column: score -> Star Rating",
        "data.slice_columns: [reviewCreatedVersion, at] "
        "-> [App Version Name, Reviewer Language, Review Submit Date and Time]",
    ]
    assert read_params(folder / "params.yaml").data.path == "data/mine.csv"
    state = (folder / "params.yaml").stat()
    assert "nothing changed" in preset(folder, "play_console")
    assert (folder / "params.yaml").stat() == state
    assert preset(folder, "default", "--path", "data/mine.csv").count("\n") == 3
    assert "data.path: data/mine.csv -> data/raw/reviews.csv" in preset(folder, "default")
    assert (folder / "params.yaml").read_bytes() == COMMITTED


def test_the_list_names_exporter_and_source_of_each_preset(folder: Path) -> None:
    lines = preset(folder).splitlines()
    assert [line.split()[0] for line in lines] == list(PRESETS)
    for line, entry in zip(lines, PRESETS.values(), strict=True):
        assert line.endswith(f"{entry['exporter']}; {entry['source']}")
        assert entry["source"].startswith("https://") or (ROOT / entry["source"]).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["play_consol"], "error: presets.yaml: no preset play_consol; did you mean play_console?\n"),
        (["zzz"], "error: presets.yaml: no preset zzz; choose one of default, play_console, "),
        (["yelp", "--path", ""], "error: params.yaml: data.path: "),
        (["--path", "data/mine.csv"], "--path needs the name of a preset\n"),
    ],
)
def test_bad_arguments_change_nothing(folder: Path, arguments: list[str], message: str) -> None:
    printed = preset(folder, *arguments, ok=False)
    assert message in printed
    assert "Traceback" not in printed
    assert (folder / "params.yaml").read_bytes() == COMMITTED
    assert sorted(path.name for path in folder.iterdir()) == ["params.yaml", "presets.yaml"]


def test_files_that_do_not_fit_give_one_line(folder: Path) -> None:
    with pytest.raises(UserError, match="one key on each line"):
        edit("data: {path: a}\n", {"path": "b"})
    (folder / "params.yaml").write_bytes(COMMITTED.replace(b"  rating_scale:", b"  rating_scales:"))
    assert "params.yaml: data.rating_scale: missing" in preset(folder, "yelp", ok=False)
    (folder / "params.yaml").write_bytes(COMMITTED)
    own = (folder / "presets.yaml").read_text(encoding="utf-8") + "  own: {data: {}}\n"
    (folder / "presets.yaml").write_text(own, encoding="utf-8")
    assert "presets.yaml: own: a preset has the keys exporter, source and data\n" in preset(folder, "own", ok=False)
    own = own.replace("own: {data: {}}", "own: {exporter: mine, source: here, data: {text_colum: a}}")
    (folder / "presets.yaml").write_text(own, encoding="utf-8")
    assert "presets.yaml: own: the section data has no key text_colum\n" in preset(folder, "own", ok=False)
    (folder / "presets.yaml").unlink()
    assert "presets.yaml: no such file; run this from the root" in preset(folder, "yelp", ok=False)


@pytest.mark.parametrize("name", PRESETS)
def test_the_reader_finds_the_reviews_of_the_exporter(name: str, tmp_path: Path) -> None:
    file, content = FILES[name]
    (tmp_path / file).write_text(content, encoding="utf-8")
    (tmp_path / "params.yaml").write_text(edit(TEXT, settings_of(name, PRESETS)), encoding="utf-8")
    data = read_params(tmp_path / "params.yaml").data
    stars = rating_reader(data.rating_scale, data.rating_map)
    good, bad = read_table(tmp_path / file, data).rows
    expected = "Title\nGood" if isinstance(data.text_column, list) else "Good"
    parse = RowParser(False, stars, data.missing).parse
    assert [parse(review).text for review in (good, bad)] == [expected, "Bad"]
    assert [stars(review.rating) for review in (good, bad)] == [5, 1]
    assert None not in good.slices
