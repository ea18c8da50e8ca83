"""The command compare, on experiments that DVC ran."""

import sys

import pandas as pd
import pytest

from commands.compare import printable


def compare(project, *arguments, ok=True):
    return project.run(sys.executable, "-m", "commands.compare", *arguments, ok=ok)


def test_two_experiments_are_compared_without_checking_them_out(experiments, tmp_path):
    printed = compare(experiments, "HEAD", "slow", "--show", "2", "--output", str(tmp_path / "changed.csv"))
    lines = {line.split()[0]: line.split() for line in printed.splitlines() if line.strip()}
    assert {"accuracy", "macro_f1", "qwk", "mae", "log_loss", "ece"} <= set(lines)
    metrics = pd.read_json(experiments.path / "metrics/test.json", typ="series")
    assert float(lines["log_loss"][1]) == pytest.approx(metrics.log_loss)
    assert float(lines["log_loss"][3]) == pytest.approx(float(lines["log_loss"][2]) - metrics.log_loss, abs=2e-4)
    assert lines["log_loss"][-1] == "*"
    changed = pd.read_csv(tmp_path / "changed.csv")
    assert f"from right to wrong: {(changed.a == changed.rating).sum()} reviews" in printed
    assert printed.count("  row ") == min(2, (changed.a == changed.rating).sum()) + min(
        2, (changed.b == changed.rating).sum()
    )
    assert experiments.changed_files() == set()


def test_models_and_baselines_are_compared_alike(experiments):
    printed = compare(experiments, "more:majority", "more")
    assert [line[-1] for line in printed.splitlines() if line.startswith(("qwk", "log_loss"))] == ["*", "*"]
    scores = pd.read_csv(experiments.path / "plots/evaluate/scores.csv").set_index(["predictor", "metric"]).value
    printed = compare(experiments, "HEAD:tfidf", "HEAD:tfidf_balanced")
    (line,) = [line.split() for line in printed.splitlines() if line.startswith("qwk")]
    assert [float(cell) for cell in line[1:3]] == [scores["tfidf", "qwk"], scores["tfidf_balanced", "qwk"]]


def test_several_trainings_of_a_setting_are_compared_as_one(experiments):
    single, several = compare(experiments, "HEAD", "slow"), compare(experiments, "HEAD,HEAD", "slow,slow")
    assert "One training does not show" in single
    assert "One training does not show" not in several
    assert single.split("\n\n")[1] == several.split("\n\n")[1]


def test_different_test_reviews_are_refused_with_the_reason(experiments):
    printed = compare(experiments, "HEAD", "other-split", ok=False)
    assert len(printed.strip().splitlines()) == 1
    assert "tested on different reviews" in printed
    assert "they differ in prepare.split_salt" in printed


@pytest.mark.parametrize(
    ("a", "message"),
    [
        ("nope", "nope: no such commit, branch, tag or experiment"),
        ("HEAD~1", "HEAD~1: data/evaluate/predictions.parquet is not in DVC's cache"),
        ("HEAD:fasttext", "fasttext: HEAD has no such predictor; choose one of majority, tfidf, tfidf_balanced"),
    ],
)
def test_an_unknown_side_is_reported_in_one_line(experiments, a, message):
    printed = compare(experiments, a, "HEAD", ok=False)
    assert len(printed.strip().splitlines()) == 1
    assert message in printed


def test_a_review_cannot_control_the_terminal():
    assert printable("a\x1b[2Jb\u202ec\nd") == "a\ufffd[2Jb\ufffdc d"
    assert len(printable("long " * 100)) == 90
