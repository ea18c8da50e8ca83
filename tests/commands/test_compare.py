"""The command that compares experiments, on ones that DVC really ran."""

import sys

import pandas as pd
import pytest

from commands.compare import printable


def compare(project, *arguments, ok=True):
    return project.run(sys.executable, "-m", "commands.compare", *arguments, ok=ok)


def test_two_experiments_are_compared_without_checking_them_out(experiments, tmp_path):
    said = compare(experiments, "HEAD", "slow", "--show", "2", "--output", str(tmp_path / "changed.csv"))
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line.strip()}
    assert {"accuracy", "macro_f1", "qwk", "mae", "log_loss", "ece"} <= set(lines)
    metrics = pd.read_json(experiments.path / "metrics/test.json", typ="series")
    assert float(lines["log_loss"][1]) == pytest.approx(metrics.log_loss)
    assert float(lines["log_loss"][3]) == pytest.approx(float(lines["log_loss"][2]) - metrics.log_loss, abs=2e-4)
    assert lines["log_loss"][-1] == "*"
    changed = pd.read_csv(tmp_path / "changed.csv")
    assert f"from right to wrong: {(changed['first'] == changed.rating).sum()} reviews" in said
    assert said.count("  row ") == min(2, (changed["first"] == changed.rating).sum()) + min(
        2, (changed["second"] == changed.rating).sum()
    )
    assert experiments.changed_files() == set()


def test_the_model_is_better_than_the_majority_and_a_baseline_compares_like_a_model(experiments):
    said = compare(experiments, "more:majority", "more")
    assert [line[-1] for line in said.splitlines() if line.startswith(("qwk", "log_loss"))] == ["*", "*"]
    scores = pd.read_csv(experiments.path / "plots/evaluate/scores.csv").set_index(["predictor", "metric"]).value
    said = compare(experiments, "HEAD:tfidf", "HEAD:tfidf_balanced")
    (line,) = [line.split() for line in said.splitlines() if line.startswith("qwk")]
    assert [float(cell) for cell in line[1:3]] == [scores["tfidf", "qwk"], scores["tfidf_balanced", "qwk"]]


def test_several_trainings_of_a_setting_are_compared_as_one(experiments):
    one, several = compare(experiments, "HEAD", "slow"), compare(experiments, "HEAD,HEAD", "slow,slow")
    assert "One training tells nothing" in one
    assert "One training tells nothing" not in several
    assert one.split("\n\n")[1] == several.split("\n\n")[1]


def test_different_test_sets_are_refused_with_the_reason(experiments):
    said = compare(experiments, "HEAD", "other-split", ok=False)
    assert len(said.strip().splitlines()) == 1
    assert "tested on different reviews" in said
    assert "they differ in prepare.split_salt" in said


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ("nope", "nope: no such commit, branch, tag or experiment"),
        ("HEAD~1", "HEAD~1: data/evaluate/predictions.parquet is not in DVC's cache"),
        ("HEAD:fasttext", "fasttext: HEAD has no such baseline; it has majority, tfidf, tfidf_balanced"),
    ],
)
def test_what_cannot_be_compared_is_one_clear_line(experiments, first, says):
    said = compare(experiments, first, "HEAD", ok=False)
    assert len(said.strip().splitlines()) == 1
    assert says in said


def test_a_review_cannot_steer_the_terminal():
    assert printable("a\x1b[2Jb\u202ec\nd") == "a\ufffd[2Jb\ufffdc d"
    assert len(printable("long " * 100)) == 90
