"""Search a space of sweeps.yaml for the settings with the least validation loss: Optuna proposes, DVC records.

python -m commands.search train --trials 20    goes on where it stopped, also after a larger number of trials

A trial is the DVC experiment search-<space>-<number>, and the record of what was tried is these experiments of the last
commit: each proposal depends on those before it and base.seed alone. Trials are not pruned, as train stops by its own
patience. The test split has no part in it.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from commands.experiments import (
    Experiment,
    Experiments,
    FinishedRun,
    as_text,
    flat,
    read_sweep,
    refs_of,
    show,
)
from src.core.errors import UserError, run
from src.core.files import parse_yaml
from src.core.seeds import seed_for


class Trial(NamedTuple):
    """What was tried, and its validation loss."""

    loss: float
    experiment: Experiment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a space of sweeps.yaml")
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="in all; default: 20")
    given = parser.parse_args()
    if given.trials < 1:
        parser.error("--trials must be 1 or more")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {key: distribution(key, values) for key, values in read_sweep("spaces", given.name).items()}
    names = [f"search-{given.name}-{number}" for number in range(1, given.trials + 1)]
    experiments = Experiments()
    check(experiments, names[0], space)
    with experiments.alone(names):
        search(experiments, names, space)


def distribution(key: str, values: Any) -> BaseDistribution:
    """What Optuna makes of a list of values, or of a range.

    Raises:
        UserError: it is neither.
    """
    try:
        if isinstance(values, list):
            return CategoricalDistribution(values)
        whole = isinstance(values["low"], int) and isinstance(values["high"], int)
        return (IntDistribution if whole else FloatDistribution)(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"sweeps.yaml: {key}: neither a list of values nor {{low: 0.1, high: 0.9}}, log: true if wanted ({error})"
        ) from None


def check(experiments: Experiments, name: str, space: Mapping[str, BaseDistribution]) -> None:
    """Refuse values that params.yaml may not have before anything is run."""
    for key, values in space.items():
        ends = values.choices if isinstance(values, CategoricalDistribution) else (values.low, values.high)
        for value in ends:
            experiments.check(Experiment(name, {key: value}))


def search(experiments: Experiments, names: Sequence[str], space: Mapping[str, BaseDistribution]) -> None:
    """Run the trials that are missing, and name the best.

    Raises:
        UserError: a trial failed, or the search was interrupted.
    """
    past: list[Trial] = []
    for number, name in enumerate(names, start=1):
        experiment = recorded(experiments, name, space)
        if experiment is None:
            seed = seed_for(experiments.params["base"]["seed"], "search", number)
            experiment = Experiment(name, propose(space, past, seed))
            experiments.check(experiment)
            run_trial(experiments, experiment, len(names))
        loss = json.loads(show(experiments.ref(experiment) or name, "metrics/train.json"))["valid_loss"]
        past.append(Trial(loss, experiment))
        settings = ", ".join(f"{key}={as_text(value)}" for key, value in experiment.changes.items())
        print(f"{name}: valid loss {loss} with {settings}", flush=True)
    best = min(past, key=lambda trial: trial.loss)
    print(f"search: the best of {len(past)} trials has valid loss {best.loss}: dvc exp apply {best.experiment.name}")


def recorded(experiments: Experiments, name: str, space: Mapping[str, Any]) -> Experiment | None:
    """A finished trial."""
    ref = refs_of(experiments.commit).get(name)
    if ref is None:
        return None
    values = flat(parse_yaml(show(ref, "params.yaml"), ref))
    return Experiment(name, {key: values[key] for key in space})


def run_trial(experiments: Experiments, experiment: Experiment, trials: int) -> None:
    """Run a trial.

    Raises:
        UserError: it failed, or was interrupted.
    """
    ended: list[FinishedRun] = []
    try:
        experiments.run([experiment], 1, ended.append)
    except KeyboardInterrupt:
        raise UserError(
            f"interrupted before {experiment.name}, of {trials}, had ended; the same command goes on"
        ) from None
    if ended[0].ref is None:
        raise UserError(f"{experiment.name} failed, see {experiment.log}; the same command tries it again")


def propose(space: Mapping[str, BaseDistribution], past: Sequence[Trial], seed: int) -> dict[str, Any]:
    """Settings to try next; the same for the same past and seed."""
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    for loss, experiment in past:
        study.add_trial(optuna.create_trial(params=dict(experiment.changes), distributions=dict(space), value=loss))
    proposed = study.ask(dict(space)).params
    return {key: short(value, space[key]) if isinstance(value, float) else value for key, value in proposed.items()}


def short(value: float, range_: Any) -> float:
    """Round to four digits within the range."""
    return min(max(float(f"{value:.4g}"), range_.low), range_.high)


if __name__ == "__main__":
    run(main)
