import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.schema import SPLITS, read_text
from src.tables.readers import Row
from src.tables.splitting import (
    OTHER_SPLIT,
    REPEAT,
    REPEATED,
    UNUSABLE,
    USABLE,
    DataSummary,
    RejectedRow,
    UsedReview,
    by_bucket,
    classify_rows,
    count_leakage,
    read_rating,
    resolve_duplicates,
    scan_rows,
)

CELLS = st.one_of(st.none(), st.text(max_size=8), st.integers(-2, 7), st.floats(), st.booleans())
TABLES = st.lists(
    st.tuples(st.one_of(st.sampled_from(["good", "Good ", "bad"]), CELLS), st.one_of(st.sampled_from(["1", 5]), CELLS))
)


def classify_all(rows, valid_share=0.1, test_share=0.2, salt="salt", split_given=False):
    """The verdicts on a table of one file."""
    read, usable = scan_rows(rows, valid_share, test_share, salt, split_given)
    row_statuses, splits = np.full(read, UNUSABLE, np.int8), np.zeros(read, np.int8)
    row_statuses[usable["row"]], splits[usable["row"]] = resolve_duplicates(usable), usable["split"]
    assert count_leakage(usable[row_statuses[usable["row"]] >= 0]) == 0
    return list(classify_rows(rows, 0, row_statuses, splits, split_given))


def verdicts(rows, **settings):
    return classify_all([Row(number, *cells) for number, cells in enumerate(rows, 1)], **settings)


def summary(rows, **settings):
    data_summary = DataSummary()
    for verdict in verdicts(rows, **settings):
        data_summary.add(verdict)
    return data_summary.summary()


@pytest.mark.parametrize("value", ["4", 4, 4.0, " 4 ", "4.0", "4e0"])
def test_ratings_that_are_read(value):
    assert read_rating(value) == 4


@pytest.mark.parametrize(
    "value", [None, "", "five", 0, 6, 3.5, "3.5", -1, 1e9, float("nan"), True, [], "nan", "inf", 10**400, "0_5"]
)
def test_ratings_that_are_not(value):
    assert read_rating(value) is None


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
    given_reasons = [verdict.reason for verdict in verdicts(rows) if isinstance(verdict, RejectedRow)]
    assert given_reasons == ["no text", "no text", "no rating", "rating is not 1, 2, 3, 4 or 5", REPEAT]
    counts = summary(rows)
    assert counts["rows"] == {"read": 8, "used": 3, "rejected": 4, "duplicates": 1, "label_conflicts": 3}
    assert counts["rejected"] == {"no text": 2, "no rating": 1, "rating is not 1, 2, 3, 4 or 5": 1}
    assert counts["stars"] == {"1": 0, "2": 0, "3": 1, "4": 1, "5": 1}


@pytest.mark.parametrize(
    ("cell", "text"),
    [(" a ", "a"), (None, ""), (float("nan"), ""), (12, "12"), (b"gut \xc3\xa4", "gut ä"), ("\ud83d!", "?!")],
)
def test_cells_that_are_text(cell, text):
    assert read_text(cell) == text


@pytest.mark.parametrize("cell", [True, ["a"], {"en": "a"}])
def test_cells_that_are_no_text_are_rejected(cell):
    assert read_text(cell) is None
    assert verdicts([(cell, 5)])[0].reason == "text is not text"


@given(TABLES)
def test_no_review_is_lost_or_invented(rows):
    given_verdicts = verdicts(rows)
    assert [verdict.number for verdict in given_verdicts] == list(range(1, len(rows) + 1))
    for verdict in given_verdicts:
        text, rating = rows[verdict.number - 1]
        if isinstance(verdict, UsedReview):
            assert verdict.split in SPLITS
            assert verdict.rating == float(rating)
            assert verdict.text.encode()
        else:
            assert (verdict.text is text, verdict.rating is rating) == (True, True)
    counts = summary(rows)
    counted = [counts["rows"][name] for name in ("used", "rejected", "duplicates")]
    assert counts["rows"]["read"] == len(rows) == sum(counted)


def settle_one_by_one(rows):
    """What settle says, as one would do it with a dictionary and all rows in one stream."""
    seen, row_statuses = {}, []
    for text, rating, split in rows:
        ratings, first_split = seen.setdefault(text, (set(), split))
        if rating in ratings:
            row_statuses.append(REPEATED)
        elif split != first_split:
            row_statuses.append(OTHER_SPLIT - first_split)
        else:
            row_statuses.append(len(ratings))
            ratings.add(rating)
    return row_statuses


@given(st.lists(st.tuples(st.sampled_from([(0, 1), (0, 2), (1, 1)]), st.integers(1, 5), st.integers(0, 2))))
def test_rows_settled_together_stand_as_one_after_the_other(rows):
    usable = np.array([(text, place, rating, split) for place, (text, rating, split) in enumerate(rows)], USABLE)
    assert resolve_duplicates(usable).tolist() == settle_one_by_one(rows)
    sorted_rows, counts = by_bucket(usable, 2)
    buckets = np.split(sorted_rows, [counts[0]])
    row_statuses = np.empty(len(rows), np.int8)
    for bucket in buckets:
        row_statuses[bucket["row"]] = resolve_duplicates(bucket)
    assert row_statuses.tolist() == settle_one_by_one(rows)


@given(TABLES, st.integers(0, 20))
def test_a_census_of_two_halves_is_that_of_the_whole(rows, cut):
    given_verdicts, censuses = verdicts(rows), [DataSummary(), DataSummary(), DataSummary()]
    for place, verdict in enumerate(given_verdicts):
        censuses[0].add(verdict)
        censuses[1 if place < cut else 2].add(verdict)
    both = censuses[1] + censuses[2]
    assert (both.summary(), both.rejection()) == (censuses[0].summary(), censuses[0].rejection())


@given(st.lists(st.text(min_size=1), unique=True), st.text(min_size=1))
def test_the_split_of_a_review_does_not_depend_on_the_others(others, text):
    alone = verdicts([(text, 5)])[0]
    among = verdicts([*((other, 3) for other in others), (text, 5)])[-1]
    assert getattr(alone, "split", None) == getattr(among, "split", None)


def test_the_same_text_stays_in_one_split_however_it_is_written():
    for number in range(50):
        text = f"good app {number}"
        forms = [text, text.upper(), f" {text}\n", text.replace(" ", "\u00a0"), text.replace("good", "\uff47ood")]
        assert len({verdict.split for verdict in verdicts([(form, i + 1) for i, form in enumerate(forms)])}) == 1


def test_texts_in_two_splits_are_counted():
    rows = [((1, 1), 0, 5, 0), ((1, 1), 1, 4, 0), ((1, 1), 2, 3, 2), ((2, 1), 3, 5, 1), ((3, 1), 4, 5, 0)]
    assert count_leakage(np.array(rows, USABLE)) == 1


def test_shares_and_salt_decide():
    rows = [(f"review {number}", 5) for number in range(4000)]
    counts = summary(rows)["splits"]
    assert counts["test"] == pytest.approx(800, abs=100)
    assert counts["valid"] == pytest.approx(400, abs=75)
    here, there = ([verdict.split for verdict in verdicts(rows, salt=salt)] for salt in ("a", "b"))
    assert here != there


def test_a_wider_test_split_keeps_every_review_of_the_narrow_one():
    rows = [(f"review {number}", 5) for number in range(500)]
    narrow, wide = (verdicts(rows, test_share=share) for share in (0.1, 0.3))
    assert all(b.split == "test" for a, b in zip(narrow, wide, strict=True) if a.split == "test")


def test_a_split_column_is_followed_and_must_not_leak():
    rows = [("a", 5, "train"), ("b", 5, "Validation"), ("c", 5, "test"), ("A", 4, "test"), ("d", 5, "holdout")]
    given_verdicts = verdicts(rows, split_given=True)
    assert [verdict.split for verdict in given_verdicts[:3]] == ["train", "valid", "test"]
    assert [verdict.reason for verdict in given_verdicts[3:]] == [
        "same text in the train split",
        "split is not train, valid or test",
    ]


def test_what_stands_in_a_slice_is_text_or_missing():
    row = Row(1, "good", 5, slices=(" 3.1 ", "", None, float("nan"), 7, ["list"]))
    (kept,) = classify_all([row])
    assert kept.slices == ("3.1", None, None, None, "7", None)
