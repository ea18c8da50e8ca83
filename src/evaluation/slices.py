"""Scores on slices of the test split: by length, and by columns such as version or month."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd

from src.evaluation.metrics import PredictionResult

LENGTHS = (1, 6, 11, 21, 51)
"""Lower bounds of the length classes, in words."""
SHOWN = 12
"""Most frequent values of a column that are shown; the rest are grouped as `other`."""
MOST_MONTHS = 24
"""With more months than this, dates are grouped by year."""
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
DIGITS = 4


def length_classes(texts: pd.Series) -> pd.Series:
    """Return the length class of each text: 1-5 words, 6-10, ..."""
    names = [*(f"{low}-{high - 1}" for low, high in pairwise(LENGTHS)), f"{LENGTHS[-1]}+"]
    counts = texts.str.split().str.len()
    return pd.Series(pd.Categorical.from_codes(np.searchsorted(LENGTHS, counts, side="right") - 1, names, ordered=True))


def column_classes(values: pd.Series) -> pd.Series:
    """Assign each value of a column (a string, or None if missing) to a class.

    ISO dates are grouped by month, or by year if there are many months, in order of time. Other values are a class
    each, most frequent first; rare values are grouped as `other`. A missing value has the class `missing`.
    """
    present = values.dropna()
    dates = len(present) > 0 and present.map(lambda value: bool(ISO_DATE.match(value))).all()
    names = values
    if dates:
        names = values.str[:7] if present.str[:7].nunique() <= MOST_MONTHS else values.str[:4]
    counts = names.value_counts().sort_index(kind="stable").sort_values(ascending=False, kind="stable")
    order = sorted(counts.index) if dates else list(counts.index[:SHOWN])
    names = names.where(names.isna() | names.isin(order), "other").fillna("missing")
    order += [name for name in ("other", "missing") if name not in order]
    return pd.Series(pd.Categorical(names, order, ordered=True)).cat.remove_unused_categories()


def slice_table(slices: dict[str, pd.Series], result: PredictionResult, stars: list[int]) -> pd.DataFrame:
    """Score each class of each slice.

    Returns the columns slice, value, reviews, rating and predicted (both means), accuracy, mae and log_loss.
    """
    values = np.array(stars)
    per_review = pd.DataFrame(
        {
            "rating": values[result.labels],
            "predicted": values[result.predicted],
            "accuracy": result.labels == result.predicted,
            "mae": np.abs(values[result.labels] - values[result.predicted]),
            "log_loss": result.loss,
        }
    )
    parts = []
    for name, classes in slices.items():
        groups = per_review.groupby(classes, observed=True)
        part = groups.mean().round(DIGITS).rename_axis("value").reset_index()
        part.insert(0, "slice", name)
        part.insert(2, "reviews", groups.size().to_numpy())
        parts.append(part.astype({"value": str}))
    return pd.concat(parts, ignore_index=True)
