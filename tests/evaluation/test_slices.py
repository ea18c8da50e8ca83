import numpy as np
import pandas as pd
import pytest

from src.evaluation.metrics import PredictionResult
from src.evaluation.slices import SHOWN, column_classes, length_classes, slice_table


def classes(values):
    found = column_classes(pd.Series(values, dtype="str"))
    return found.astype(str).tolist(), list(found.cat.categories)


@pytest.mark.parametrize(
    ("words", "name"), [(1, "1-5"), (5, "1-5"), (6, "6-10"), (20, "11-20"), (50, "21-50"), (51, "51+")]
)
def test_the_length_class_of_a_text(words, name):
    assert length_classes(pd.Series(["so " * words])).tolist() == [name]


def test_dates_become_months_in_order_of_time():
    found, order = classes(["2024-02-03 10:00:00", "2023-12-31", None, "2024-02-29T00:00"])
    assert found == ["2024-02", "2023-12", "missing", "2024-02"]
    assert order == ["2023-12", "2024-02", "missing"]


def test_many_months_become_years():
    dates = [f"{2000 + month // 12}-{month % 12 + 1:02}-01" for month in range(30)]
    assert classes(dates)[1] == ["2000", "2001", "2002"]


def test_one_value_that_is_not_a_date_makes_all_values_names():
    assert classes(["2024-02-03", "2024-02-04", "soon", "soon"])[1] == ["soon", "2024-02-03", "2024-02-04"]


def test_rare_values_become_one_class_after_the_frequent_ones():
    values = [f"v{i:02}" for i in range(SHOWN)] * 2 + ["rare", "rarer", None]
    found, order = classes(values)
    assert found[-3:] == ["other", "other", "missing"]
    assert order == [*(f"v{i:02}" for i in range(SHOWN)), "other", "missing"]


def test_each_class_is_scored_by_hand():
    result = PredictionResult(
        np.array([0, 4, 4]), np.array([0, 4, 1]), np.array([0.1, 0.2, 1.3]), np.array([0.9, 0.8, 0.5])
    )
    table = slice_table({"at": column_classes(pd.Series(["a", "b", "b"]))}, result, [1, 2, 3, 4, 5])
    assert table.to_dict("records") == [
        {
            "slice": "at",
            "value": "b",
            "reviews": 2,
            "rating": 5.0,
            "predicted": 3.5,
            "accuracy": 0.5,
            "mae": 1.5,
            "log_loss": 0.75,
        },
        {
            "slice": "at",
            "value": "a",
            "reviews": 1,
            "rating": 1.0,
            "predicted": 1.0,
            "accuracy": 1.0,
            "mae": 0.0,
            "log_loss": 0.1,
        },
    ]
