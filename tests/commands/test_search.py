"""The search: its proposals depend only on the earlier trials and the seed."""

import json
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from commands.experiments import Experiment
from commands.search import Trial, distribution, propose
from src.core.errors import UserError
from src.core.seeds import seed_for
from tests.conftest import ROOT, Project, copy_of

SPACE = {
    key: distribution(key, values)
    for key, values in {
        "train.lr": {"low": 0.0005, "high": 0.02, "log": True},
        "model.hidden_size": {"low": 16, "high": 128},
        "resample.strategy": ["none", "over", "both"],
    }.items()
}


def tried(number: int, past: list[Trial]) -> Trial:
    """Return a proposal, read back from JSON as from params.yaml, with a made-up loss."""
    settings = json.loads(json.dumps(propose(SPACE, past, seed_for(1, "search", number))))
    loss = (
        abs(settings["train.lr"] - 0.003)
        + settings["model.hidden_size"] / 1000
        + (settings["resample.strategy"] == "both")
    )
    return Trial(loss, Experiment(f"search-{number}", settings))


def test_an_interrupted_search_makes_the_same_proposals():
    trials: list[Trial] = []
    for number in range(1, 17):
        trials.append(tried(number, trials))
    assert [tried(number, trials[: number - 1]) for number in (16, 12, 2)] == [trials[i] for i in (15, 11, 1)]
    assert len({tuple(trial.experiment.changes.values()) for trial in trials}) > 12


def test_proposals_are_rounded_within_the_space_and_learn_from_earlier_trials():
    trials: list[Trial] = []
    for number in range(1, 31):
        trials.append(tried(number, trials))
    for _, experiment in trials:
        lr, hidden, strategy = experiment.changes.values()
        assert 0.0005 <= lr <= 0.02
        assert lr == float(f"{lr:.4g}")
        assert isinstance(hidden, int)
        assert 16 <= hidden <= 128
        assert strategy in ("none", "over", "both")
    later = [experiment.changes["resample.strategy"] for _, experiment in trials[10:]]
    assert later.count("both") < len(later) / 3


def test_a_bad_space_is_refused_in_one_line(ready: Project):
    for name, message in [
        ("all", "sweeps.yaml: spaces has no all; choose one of few, wrong, upside-down"),
        ("wrong", "model.dropout: input should be less than 1, not 1.5"),
        ("upside-down", "sweeps.yaml: model.dropout: expected a list of values or {low: 0.1, high: 0.9}"),
    ]:
        output = ready.run(sys.executable, "-m", "commands.search", name, ok=False)
        assert len(output.splitlines()) == 1
        assert message in output


def test_the_grids_and_spaces_of_this_project_are_valid(ready: Project, tmp_path: Path):
    """The check for changed files, which comes last, is the only one that fails."""
    copy = copy_of(ready, tmp_path)
    text = (ROOT / "sweeps.yaml").read_text(encoding="utf-8")
    (copy.path / "sweeps.yaml").write_text(text, encoding="utf-8")
    sweeps = YAML(typ="safe", pure=True).load(text)
    commands = {"grids": "commands.sweep", "spaces": "commands.search"}
    for section, command in commands.items():
        for name in sweeps[section]:
            output = copy.run(sys.executable, "-m", command, name, ok=False)
            assert output.startswith("error: sweeps.yaml: changed since the last commit")


@pytest.mark.parametrize("values", [{"low": 1}, "none", {"low": 0.0, "high": 1.0, "log": True}, {"low": 1, "hi": 2}])
def test_neither_a_list_nor_a_range_is_refused(values):
    with pytest.raises(UserError, match=r"x\.y: expected a list"):
        distribution("x.y", values)
