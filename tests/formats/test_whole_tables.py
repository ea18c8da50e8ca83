"""The stage prepare itself on whole tables: what it writes and says, and that a refused table leaves nothing behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from src.core.errors import UserError
from src.core.schema import SPLITS
from stages import prepare
from tests.conftest import ROOT, changed_params

CASES = ROOT / "tests/cases"
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the stage on a file, in an empty folder, and returns metrics/data.json."""
    monkeypatch.chdir(tmp_path)

    def run_stage(path: Path, **data: Any) -> dict[str, Any]:
        changes = {f"data.{key}": value for key, value in {"path": str(path), **data}.items()}
        YAML().dump(changed_params(changes), Path("params.yaml"))
        prepare.main()
        return json.loads(prepare.METRICS.read_text(encoding="utf-8"))

    return run_stage


@pytest.mark.parametrize(
    ("name", "settings", "used"),
    [
        (
            "play_console_utf16.csv",
            {"text_column": ["Review Title", "Review Text"], "rating_column": "Star Rating"},
            100,
        ),
        ("only_train_and_test.csv", {"split_column": "split"}, 300),
        ("headerless.csv", {"header": False, "text_column": 3, "rating_column": 2}, 100),
        ("title_lines.csv", {}, 100),
        ("mac.csv.zip", {}, 100),
        ("sheet.xlsx", {}, 100),
        ("wrapped.json", {}, 100),
        ("far_date.parquet", {}, 100),
    ],
)
def test_a_table_goes_through(run: Run, name: str, settings: dict[str, Any], used: int) -> None:
    data = run(CASES / name, **settings)
    assert data["rows"]["used"] == used == sum(data["splits"].values())
    assert all(data["splits"].values())
    written = [row for split in SPLITS for row in pq.read_table(prepare.OUTPUT / f"{split}.parquet").to_pylist()]
    assert len(written) == used


def test_what_must_be_known_is_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(CASES / "only_train_and_test.csv", split_column="split")
    assert "no row of split is valid: 10% of train, by hash, became valid" in capsys.readouterr().out
    run(CASES / "title_lines.csv")
    assert "2 lines above the header are not read" in capsys.readouterr().out
    run(CASES / "missing_as_words.csv")
    assert "0 rejected, 0 duplicates, 25 without text" in capsys.readouterr().out


def test_dates_of_parquet_are_slices_as_of_csv(run: Run) -> None:
    run(CASES / "timestamps.parquet", slice_columns=["at"])
    slices = pq.read_table(prepare.OUTPUT / "train.parquet").column("slices").to_pylist()
    assert all(at and at[:3] == "202" and at[4] == "-" for (at,) in slices)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            "ratings run from 0 to 4 (0, 1, 2, 3, 4); in the section data of params.yaml, write rating_scale: [0, 4]",
        ),
        ("score,content\n" + "".join(f"{1 + i % 3},good {i}\n" for i in range(99)) + "0,bad\n", "run from 0 to 3"),
        ("score,content\n" + "".join(f"{1 + i % 10},good {i}\n" for i in range(99)), "write rating_scale: [1, 10]"),
        ("score,content\n" + "".join(f"{'positive negative'.split()[i % 2]},a {i}\n" for i in range(9)), "rating_map"),
        ("score,content\n" + "".join(f"{1 + i % 5},\n" for i in range(3000)), "no row has a text"),
        ("score,content\n" + "".join(f"good {i},5\n" for i in range(99)), "are the right columns"),
        ("score,content\n" + "".join(f"5,good {i}\n" for i in range(99)), "all reviews have the same rating"),
        ('content,score\n"a\nb,1,5"\n"c,4', "rejected"),
    ],
)
def test_a_refused_table_leaves_nothing(run: Run, tmp_path: Path, content: str | None, message: str) -> None:
    path = CASES / "stars_0_to_4.csv"
    if content is not None:
        path = tmp_path / "a.csv"
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        run(path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert {each.name for each in tmp_path.rglob("*")} <= {"params.yaml", "a.csv", "data"}
