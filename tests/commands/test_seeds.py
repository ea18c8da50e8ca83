"""The table of metrics averaged over seeds, compared with values computed by hand."""

import sys

import pandas as pd

from commands.seeds import average
from tests.conftest import Project

PARAMS = pd.DataFrame(
    {
        "train.lr": ["0.1", "0.1", "0.2", "0.2", "0.1"],
        "base.seed": ["1", "2", "1", "1", "3"],
        "prepare.split_salt": ["a", "a", "a", "a", "b"],
        "model.cell": ["lstm"] * 5,
    }
)
METRICS = pd.DataFrame(
    {
        "accuracy": [0.5, 0.7, 0.6, 0.6, 0.9],
        "log_loss": [1.0, 2.0, 1.4, 1.4, 3.0],
        "excess_log_loss": [0.25, None, None, None, None],
    }
)


def rows(table: pd.DataFrame) -> list[list[object]]:
    return [list(table.columns), *table.to_numpy().tolist()]


def test_seeds_are_averaged_and_duplicate_rows_count_once():
    assert rows(average(PARAMS, METRICS, ["base.seed"])) == [
        ["train.lr", "prepare.split_salt", "n", "accuracy", "log_loss", "excess_log_loss"],
        ["0.2", "a", 1, "0.6000", "1.4000", "-"],
        ["0.1", "a", 2, "0.6000 ± 0.1414", "1.5000 ± 0.7071", "0.2500"],
        ["0.1", "b", 1, "0.9000", "3.0000", "-"],
    ]


def test_metrics_can_be_averaged_over_several_parameters():
    assert rows(average(PARAMS, METRICS[["log_loss"]], ["prepare.split_salt", "base.seed"])) == [
        ["train.lr", "n", "log_loss"],
        ["0.2", 1, "1.4000"],
        ["0.1", 3, "2.0000 ± 1.0000"],
    ]
    assert rows(average(PARAMS[:2], METRICS[["accuracy"]][:2], ["base.seed"])) == [
        ["n", "accuracy"],
        [2, "0.6000 ± 0.1414"],
    ]


def test_bad_arguments_are_refused_in_one_line(project: Project):
    for arguments, message in [
        (["nope"], "nope: no such commit, branch or tag"),
        (["--over", "base.seeds"], "--over base.seeds: params.yaml has no such key"),
        (["--metrics", "log_los"], "--metrics: metrics/test.json has no log_los; choose from "),
    ]:
        output = project.run(sys.executable, "-m", "commands.seeds", *arguments, ok=False)
        assert len(output.splitlines()) == 1
        assert message in output
