from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.schema import SPLITS, letters_and_digits, normalised_text, read_text
from src.tables.data_summary import DataSummary
from src.tables.ratings import rating_reader
from src.tables.readers import Row
from src.tables.row_parser import RowParser
from src.tables.splitting import (
    DUPLICATE,
    DUPLICATE_REASON,
    OTHER_SPLIT,
    UNUSABLE,
    USABLE,
    RejectedRow,
    UsableRows,
    count_leakage,
    cut_valid,
    describe_status,
    resolve_duplicates,
    sort_by_bucket,
)

CELLS = st.one_of(st.none(), st.text(max_size=8), st.integers(-2, 7), st.floats(), st.booleans())
TABLES = st.lists(
    st.tuples(st.one_of(st.sampled_from(["good", "Good ", "bad"]), CELLS), st.one_of(st.sampled_from(["1", 5]), CELLS))
)


class UsedReview(NamedTuple):
    """A row that is used, and the number of used rows before it with the same text."""

    number: int
    text: str
    rating: int
    split: str
    true_probabilities: tuple[float, ...]
    duplicate_texts: int
    slices: tuple[str | None, ...]


def classify_all(rows, valid_share=0.1, test_share=0.2, salt="salt", has_split=False):
    """Classify the rows of a table that is one file, as prepare does."""
    parser, usable = RowParser(has_split, rating_reader(None, None)), UsableRows(valid_share, test_share, salt)
    parsed = [parser.parse(row) for row in rows]
    for row in parsed:
        usable.add(row)
    table = usable.array()
    row_statuses, splits = np.full(len(rows), UNUSABLE, np.int8), np.zeros(len(rows), np.int8)
    row_statuses[table["row"]], splits[table["row"]] = resolve_duplicates(table), table["split"]
    assert count_leakage(table[row_statuses[table["row"]] >= 0]) == 0
    classified = []
    for row, read, status, split in zip(rows, parsed, row_statuses.tolist(), splits.tolist(), strict=True):
        if status >= 0:
            found = read.true_probabilities, status, read.slices
            classified.append(UsedReview(row.number, read.text, read.stars, SPLITS[split], *found))
        else:
            reason = read.problem or describe_status(status)
            classified.append(RejectedRow(row.number, read.text, read.rating, reason))
    return classified


def classify(rows, **settings):
    return classify_all([Row(number, *cells) for number, cells in enumerate(rows, 1)], **settings)


def count(data_summary, rows):
    """Add rows, in order, to a summary."""
    for row in rows:
        if isinstance(row, RejectedRow):
            data_summary.add_rejected(row)
        else:
            values = row.rating, SPLITS.index(row.split), len(row.text.split()), row.duplicate_texts
            data_summary.add_used(*(np.array([value]) for value in values))
    return data_summary


def summary(rows, **settings):
    return count(DataSummary(), classify(rows, **settings)).summary()


def test_every_row_gets_a_reason_or_a_split():
    rows = [
        ("good", "5"),
        ("", "5"),
        (None, 1),
        ("bad", None),
        ("bad", "0"),
        (" GOOD", 5.0),
        ("good", "4"),
        ("good", 3),
    ]
    reasons = [row.reason for row in classify(rows) if isinstance(row, RejectedRow)]
    assert reasons == ["no text", "no text", "no rating", "rating is not 1, 2, 3, 4 or 5", DUPLICATE_REASON]
    counts = summary(rows)
    assert counts["rows"] == {
        "read": 8,
        "used": 3,
        "rejected": 2,
        "duplicates": 1,
        "textless": 2,
        "label_conflicts": 3,
    }
    assert counts["rejected"] == {"no rating": 1, "rating is not 1, 2, 3, 4 or 5": 1}
    assert counts["stars"] == {"1": 0, "2": 0, "3": 1, "4": 1, "5": 1}


@pytest.mark.parametrize(
    ("cell", "text"),
    [(" a ", "a"), (None, ""), (float("nan"), ""), (12, "12"), (b"gut \xc3\xa4", "gut ä"), ("\ud83d!", "?!")],
)
def test_cells_that_are_text(cell, text):
    assert read_text(cell) == text


@pytest.mark.parametrize("cell", [True, ["a"], {"en": "a"}])
def test_cells_that_are_not_text_are_rejected(cell):
    assert read_text(cell) is None
    assert classify([(cell, 5)])[0].reason == "text is not a string"


@given(TABLES)
def test_no_review_is_lost_or_invented(rows):
    classified = classify(rows)
    assert [row.number for row in classified] == list(range(1, len(rows) + 1))
    for row in classified:
        text, rating = rows[row.number - 1]
        if isinstance(row, UsedReview):
            assert row.split in SPLITS
            assert row.rating == float(rating)
            assert row.text.encode()
        else:
            assert row.text == (None if text is None else str(text)) or row.text == read_text(text)
            assert row.rating == (None if rating is None else str(rating))
    counts = summary(rows)
    counted = [counts["rows"][name] for name in ("used", "rejected", "duplicates", "textless")]
    assert counts["rows"]["read"] == len(rows) == sum(counted)


def resolve_one_by_one(rows):
    """The statuses that resolve_duplicates returns, computed from a dictionary and a single stream of rows."""
    seen, row_statuses = {}, []
    for text, rating, split in rows:
        ratings, first_split = seen.setdefault(text, (set(), split))
        if rating in ratings:
            row_statuses.append(DUPLICATE)
        elif split != first_split:
            row_statuses.append(OTHER_SPLIT - first_split)
        else:
            row_statuses.append(len(ratings))
            ratings.add(rating)
    return row_statuses


def numbered(rows):
    return [(text, place, rating, split) for place, (text, rating, split) in enumerate(rows)]


@given(st.lists(st.tuples(st.sampled_from([(0, 1), (0, 2), (1, 1)]), st.integers(1, 5), st.integers(0, 2))))
def test_rows_resolved_in_buckets_have_the_same_statuses_as_one_by_one(rows):
    usable = np.array([(text, text[0] * 2 + text[1], *row) for text, *row in numbered(rows)], USABLE)
    assert resolve_duplicates(usable).tolist() == resolve_one_by_one(rows)
    sorted_rows, counts = sort_by_bucket(usable, 2)
    buckets = np.split(sorted_rows, [counts[0]])
    row_statuses = np.empty(len(rows), np.int8)
    for bucket in buckets:
        row_statuses[bucket["row"]] = resolve_duplicates(bucket)
    assert row_statuses.tolist() == resolve_one_by_one(rows)


@given(TABLES, st.integers(0, 20))
def test_the_summaries_of_two_halves_add_up_to_that_of_the_whole(rows, cut):
    classified = classify(rows)
    whole, first, second = (count(DataSummary(), part) for part in (classified, classified[:cut], classified[cut:]))
    both = first + second
    assert (both.summary(), both.describe_rejected()) == (whole.summary(), whole.describe_rejected())


@given(st.lists(st.text(min_size=1), unique=True), st.text(min_size=1))
def test_the_split_of_a_review_does_not_depend_on_the_others(others, text):
    alone = classify([(text, 5)])[0]
    among = classify([*((other, 3) for other in others), (text, 5)])[-1]
    assert getattr(alone, "split", None) == getattr(among, "split", None)


def test_the_same_text_stays_in_one_split_however_it_is_written():
    for number in range(50):
        text = f"good app {number}"
        forms = [text, text.upper(), f" {text}\n", text.replace(" ", "\u00a0"), text.replace("good", "\uff47ood")]
        forms += [f"{text}!!!", f"Good, app: {number} \U0001f600", f"'good app' ({number})", f"goodapp{number}..."]
        assert len({row.split for row in classify([(form, i % 5 + 1) for i, form in enumerate(forms)])}) == 1


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("Great app!!", "greatapp"),
        ("It's 5\u2b50 \u2013 \u201cgreat\u201d", "its5great"),
        ("\u00dcBER_gut 10/10", "\u00fcbergut1010"),
        ("\U0001f44d\U0001f3fb\U0001f44d \U0001f44d", "\U0001f44d"),
        ("\u2764\ufe0f!", "\u2764!"),
        ("...", "."),
    ],
)
def test_nearly_equal_texts_share_their_letters_and_digits(text, shared):
    assert letters_and_digits(normalised_text(text)) == shared


def test_a_valid_split_is_cut_from_train_by_the_key():
    rows = [(f"review {number}", 5, "train" if number % 4 else "test") for number in range(4000)]
    usable = UsableRows(0.1, 0.2, "salt")
    for number, cells in enumerate(rows, 1):
        usable.add(RowParser(True, rating_reader(None, None)).parse(Row(number, *cells)))
    before, after = usable.array()["split"], cut_valid(usable.array(), 0.1)["split"]
    assert (before == after)[before == SPLITS.index("test")].all()
    assert (after == SPLITS.index("valid")).sum() == pytest.approx(300, abs=60)
    assert set(after[before != after]) == {SPLITS.index("valid")}


def test_texts_in_two_splits_are_counted():
    rows = [((1, 1), 9, 0, 5, 0), ((1, 1), 9, 1, 4, 0), ((2, 1), 9, 2, 3, 2), ((2, 1), 8, 3, 5, 1)]
    assert count_leakage(np.array(rows, USABLE)) == 1


def test_the_split_follows_shares_and_salt():
    rows = [(f"review {number}", 5) for number in range(4000)]
    counts = summary(rows)["splits"]
    assert counts["test"] == pytest.approx(800, abs=100)
    assert counts["valid"] == pytest.approx(400, abs=75)
    a, b = ([row.split for row in classify(rows, salt=salt)] for salt in ("a", "b"))
    assert a != b


def test_a_wider_test_split_keeps_every_review_of_the_narrow_one():
    rows = [(f"review {number}", 5) for number in range(500)]
    narrow, wide = (classify(rows, test_share=share) for share in (0.1, 0.3))
    assert all(b.split == "test" for a, b in zip(narrow, wide, strict=True) if a.split == "test")


def test_a_split_column_is_used_and_must_not_leak():
    rows = [("a", 5, "train"), ("b", 5, "Validation"), ("c", 5, "test"), ("A", 4, "test"), ("d", 5, "holdout")]
    classified = classify(rows, has_split=True)
    assert [row.split for row in classified[:3]] == ["train", "valid", "test"]
    reasons = [row.reason for row in classified[3:]]
    assert reasons == ["text is already in the train split", "split is not train, valid or test"]


def test_slice_cells_are_text_or_missing():
    row = Row(1, "good", 5, slices=(" 3.1 ", "", None, float("nan"), 7, ["list"]))
    (used,) = classify_all([row])
    assert used.slices == ("3.1", None, None, None, "7", None)
