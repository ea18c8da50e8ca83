"""The cells of the configured columns become rows of reviews."""

import pandas as pd
import pytest

from src.core.errors import UserError
from src.tables.readers import read_table


@pytest.fixture
def data(make_params):
    return make_params().data


def read(path, data):
    return [(row.text, row.rating) for row in read_table(path, data).rows]


def test_a_missing_column_is_named_with_the_nearest_one(tmp_path, data):
    path = tmp_path / "a.csv"
    path.write_text("contents;stars\ngood;5\n", encoding="utf-8")
    message = r"no column content; set data\.text_column to one of: contents, stars; did you mean contents\?"
    with pytest.raises(UserError, match=message):
        read(path, data)


def test_a_record_may_lack_a_column(tmp_path, data):
    path = tmp_path / "a.jsonl"
    path.write_text('{"content": "good"}\n{"content": "bad", "score": 1}\n', encoding="utf-8")
    assert read(path, data) == [("good", None), ("bad", 1)]


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.jsonl", "reviews.parquet"])
def test_slice_columns_are_part_of_the_row_and_may_be_missing(tmp_path, make_params, name):
    table = pd.DataFrame({"at": ["2024-01-02", "2024-02-03"], "score": ["1", "5"], "content": ["bad", "good"]})
    path = tmp_path / name
    {
        ".csv": lambda: table.to_csv(path, index=False),
        ".jsonl": lambda: table.to_json(path, orient="records", lines=True),
        ".parquet": lambda: table.to_parquet(path),
    }[path.suffix]()
    rows = list(read_table(path, make_params({"data.slice_columns": ["country", "at", "score"]}).data).rows)
    assert [row.slices for row in rows] == [(None, "2024-01-02", "1"), (None, "2024-02-03", "5")]
    assert [(row.text, row.rating) for row in rows] == [("bad", "1"), ("good", "5")]


def test_true_probabilities_are_part_of_the_row(tmp_path, data):
    path = tmp_path / "a.csv"
    lines = ["0,0,0,.25,.75", ",,,,", "1,0,0,0,x", "nan,0,0,0,1", "2,-1,0,0,0", "0,0,0,0,.5"]
    header = "content,score,true_p1,true_p2,true_p3,true_p4,true_p5\n"
    path.write_text(header + "".join(f"good,5,{line}\n" for line in lines), encoding="utf-8")
    rows = list(read_table(path, data).rows)
    assert [row.true_probabilities for row in rows] == [(0, 0, 0, 0.25, 0.75), *[None] * 5]
    assert [row.problem for row in rows] == [None] * 2 + ["true probabilities are invalid or do not sum to 1"] * 4
    assert {row.text for row in rows} == {"good"}
