"""The search for settings: what it proposes follows from what is recorded, and DVC's experiments are the record."""

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
    """Try a proposal on a made-up loss, and read it back as it stands in params.yaml."""
    settings = json.loads(json.dumps(propose(SPACE, past, seed_for(1, "search", number))))
    loss = (
        abs(settings["train.lr"] - 0.003)
        + settings["model.hidden_size"] / 1000
        + (settings["resample.strategy"] == "both")
    )
    return Trial(loss, Experiment(f"search-{number}", settings))


def test_an_interrupted_search_proposes_what_an_unbroken_one_would_have():
    unbroken: list[Trial] = []
    for number in range(1, 17):
        unbroken.append(tried(number, unbroken))
    assert [tried(number, unbroken[: number - 1]) for number in (16, 12, 2)] == [unbroken[i] for i in (15, 11, 1)]
    assert len({tuple(trial.experiment.changes.values()) for trial in unbroken}) > 12


def test_proposals_are_short_lie_in_the_space_and_follow_the_past():
    past: list[Trial] = []
    for number in range(1, 31):
        past.append(tried(number, past))
    for _, experiment in past:
        lr, hidden, strategy = experiment.changes.values()
        assert 0.0005 <= lr <= 0.02
        assert lr == float(f"{lr:.4g}")
        assert isinstance(hidden, int)
        assert 16 <= hidden <= 128
        assert strategy in ("none", "over", "both")
    learnt = [experiment.changes["resample.strategy"] for _, experiment in past[10:]]
    assert learnt.count("both") < len(learnt) / 3


def test_what_cannot_be_searched_is_one_clear_line(ready: Project):
    for name, says in [
        ("all", "all: not in spaces of sweeps.yaml; there are few, wrong, upside-down"),
        ("wrong", "model.dropout: input should be less than 1, not 1.5"),
        ("upside-down", "sweeps.yaml: model.dropout: neither a list of values nor {low: 0.1, high: 0.9}"),
    ]:
        said = ready.run(sys.executable, "-m", "commands.search", name, ok=False)
        assert len(said.splitlines()) == 1
        assert says in said


def test_the_grids_and_spaces_of_this_project_fit_its_parameters(ready: Project, tmp_path: Path):
    """Each is refused because of the changed file alone, which is looked at last."""
    copy = copy_of(ready, tmp_path)
    text = (ROOT / "sweeps.yaml").read_text(encoding="utf-8")
    (copy.path / "sweeps.yaml").write_text(text, encoding="utf-8")
    sweeps = YAML(typ="safe", pure=True).load(text)
    commands = {"grids": "commands.sweep", "spaces": "commands.search"}
    for section, command in commands.items():
        for name in sweeps[section]:
            said = copy.run(sys.executable, "-m", command, name, ok=False)
            assert said.startswith("error: sweeps.yaml: changed since the last commit")


@pytest.mark.parametrize("values", [{"low": 1}, "none", {"low": 0.0, "high": 1.0, "log": True}, {"low": 1, "hi": 2}])
def test_a_space_that_is_none_is_refused(values):
    with pytest.raises(UserError, match=r"x\.y: neither a list"):
        distribution("x.y", values)
