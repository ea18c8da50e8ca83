"""Search a space in sweeps.yaml for the settings with the lowest validation loss, by Optuna's TPE sampler.

python -m commands.search train --trials 20    continues an earlier search, also with a larger number of trials

Each trial is a DVC experiment, search-<space>-<number>. These experiments of the last commit are the only record of the
search: a proposal depends only on the trials before it and on base.seed. The test split is not used. Trials are not
pruned, because train.patience already stops a training early.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from commands.experiments import Experiment, Experiments, RunResult, as_text, flatten, read_sweep, refs_of, show
from src.core.errors import UserError, run
from src.core.files import parse_yaml
from src.core.seeds import seed_for


class Trial(NamedTuple):
    """A finished experiment and its validation loss."""

    loss: float
    experiment: Experiment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a space in sweeps.yaml")
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="total, with finished ones; default: 20")
    args = parser.parse_args()
    if args.trials < 1:
        parser.error("--trials must be 1 or more")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {key: distribution(key, values) for key, values in read_sweep("spaces", args.name).items()}
    names = [f"search-{args.name}-{number}" for number in range(1, args.trials + 1)]
    experiments = Experiments()
    check(experiments, names[0], space)
    with experiments.exclusive():
        search(experiments, names, space)


def distribution(key: str, values: Any) -> BaseDistribution:
    """Return the Optuna distribution for a list of values or a range.

    Raises:
        UserError: `values` is neither.
    """
    try:
        if isinstance(values, list):
            return CategoricalDistribution(values)
        whole = isinstance(values["low"], int) and isinstance(values["high"], int)
        return (IntDistribution if whole else FloatDistribution)(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"sweeps.yaml: {key}: expected a list of values or {{low: 0.1, high: 0.9}}, optionally log: true ({error})"
        ) from None


def check(experiments: Experiments, name: str, space: Mapping[str, BaseDistribution]) -> None:
    """Check all values and limits of the space against params.yaml before anything runs."""
    for key, values in space.items():
        limits = values.choices if isinstance(values, CategoricalDistribution) else (values.low, values.high)
        for value in limits:
            experiments.check(Experiment(name, {key: value}))


def search(experiments: Experiments, names: Sequence[str], space: Mapping[str, BaseDistribution]) -> None:
    """Run the trials that are not finished, and print the best one.

    Raises:
        UserError: a trial failed, or the search was interrupted.
    """
    trials: list[Trial] = []
    for number, name in enumerate(names, start=1):
        experiment = recorded(experiments, name, space)
        if experiment is None:
            seed = seed_for(experiments.params["base"]["seed"], "search", number)
            experiment = Experiment(name, propose(space, trials, seed))
            experiments.check(experiment)
            run_trial(experiments, experiment, len(names))
        loss = json.loads(show(experiments.ref(experiment) or name, "metrics/train.json"))["valid_loss"]
        trials.append(Trial(loss, experiment))
        settings = ", ".join(f"{key}={as_text(value)}" for key, value in experiment.changes.items())
        print(f"{name}: validation loss {loss} with {settings}", flush=True)
    best = min(trials, key=lambda trial: trial.loss)
    print(f"search: best of {len(trials)} trials: validation loss {best.loss}; dvc exp apply {best.experiment.name}")


def recorded(experiments: Experiments, name: str, space: Mapping[str, Any]) -> Experiment | None:
    """Return the finished experiment of this name, or None."""
    ref = refs_of(experiments.commit).get(name)
    if ref is None:
        return None
    values = flatten(parse_yaml(show(ref, "params.yaml"), ref))
    return Experiment(name, {key: values[key] for key in space})


def run_trial(experiments: Experiments, experiment: Experiment, trials: int) -> None:
    """Run one of `trials` trials.

    Raises:
        UserError: it failed or was interrupted.
    """
    results: list[RunResult] = []
    try:
        experiments.run([experiment], 1, results.append)
    except KeyboardInterrupt:
        raise UserError(
            f"interrupted during {experiment.name} of {trials} trials; run the same command to continue"
        ) from None
    if results[0].ref is None:
        raise UserError(f"{experiment.name} failed, see {experiment.log}; run the same command to try it again")


def propose(space: Mapping[str, BaseDistribution], trials: Sequence[Trial], seed: int) -> dict[str, Any]:
    """Return the settings to try next, determined by the earlier trials and the seed."""
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    for loss, experiment in trials:
        study.add_trial(optuna.create_trial(params=dict(experiment.changes), distributions=dict(space), value=loss))
    proposed = study.ask(dict(space)).params
    return {key: rounded(value, space[key]) if isinstance(value, float) else value for key, value in proposed.items()}


def rounded(value: float, limits: Any) -> float:
    """Round to four significant digits, within the limits."""
    return min(max(float(f"{value:.4g}"), limits.low), limits.high)


if __name__ == "__main__":
    run(main)
