"""Run every combination of a grid in sweeps.yaml as a DVC experiment. Finished experiments are not run again.

python -m commands.sweep resampling                              six experiments: lr=0.001+strategy=none, ...
python -m commands.sweep seeds --jobs 2 -S train.portable=false  set a parameter in all experiments
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from tqdm import tqdm

from commands.experiments import LOGS, Experiment, Experiments, RunResult, as_text, read_sweep, show
from src.core.errors import UserError, run
from src.core.files import parse_yaml


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a grid in sweeps.yaml")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="experiments to run in parallel; default: 1")
    parser.add_argument(
        "-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="set in all experiments"
    )
    args = parser.parse_args()
    if args.jobs < 1:
        parser.error("--jobs must be 1 or more")
    grid = read_sweep("grids", args.name)
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"sweeps.yaml: grids.{args.name}.{key}: expected a list of values")
    planned = combine(grid | {key: [value] for key, value in map(read_change, args.set_param)})
    experiments = Experiments()
    for experiment in planned:
        experiments.check(experiment)
    with experiments.exclusive():
        sweep(experiments, planned, args.jobs)


def read_change(text: str) -> tuple[str, Any]:
    """Parse section.key=value.

    Raises:
        UserError: the text has another form.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"-S {text}: expected SECTION.KEY=VALUE")
    return key, parse_yaml(value, f"-S {text}")


def combine(grid: Mapping[str, Sequence[Any]]) -> list[Experiment]:
    """Return an experiment for every combination of the values.

    Its name contains the last part of each key (lr=0.1), or the full keys if two last parts are equal (train.lr=0.1).

    Raises:
        UserError: two combinations have the same name.
    """
    last = {key: key.split(".")[-1] for key in grid}
    labels = last if len(set(last.values())) == len(grid) else {key: key for key in grid}
    planned = [
        Experiment(
            "+".join(f"{labels[key]}={as_text(value)}" for key, value in zip(grid, values, strict=True)), changes
        )
        for values in product(*grid.values())
        for changes in [dict(zip(grid, values, strict=True))]
    ]
    name, times = Counter(experiment.name for experiment in planned).most_common(1)[0]
    if times > 1:
        raise UserError(f"{name}: the grid contains this experiment {times} times; remove the repeated value")
    return planned


def sweep(experiments: Experiments, planned: Sequence[Experiment], jobs: int) -> None:
    """Run the experiments that are not finished.

    Raises:
        UserError: some failed, or the sweep was interrupted.
    """
    total, unfinished = len(planned), experiments.unfinished(planned)
    if not unfinished:
        print(f"sweep: {total} of {total} experiments are finished; nothing to run")
        return
    print(f"sweep: {total - len(unfinished)} of {total} experiments are finished; logs in {LOGS}", flush=True)
    with tqdm(total=total, initial=total - len(unfinished), unit="experiment", disable=None) as bar:

        def report(result: RunResult) -> None:
            bar.update(result.ref is not None)
            with tqdm.external_write_mode():
                print(f"{result.experiment.name}: {describe(result)}, {result.seconds:.0f} s", flush=True)

        try:
            experiments.run(unfinished, jobs, report)
        except KeyboardInterrupt:
            finished = total - len(experiments.unfinished(planned))
            raise UserError(
                f"interrupted: {finished} of {total} experiments are finished; run the same command to continue"
            ) from None
    if failed := experiments.unfinished(planned):
        logs = ", ".join(f"{experiment.name} (see {experiment.log})" for experiment in failed)
        raise UserError(f"{len(failed)} of {total} experiments failed: {logs}; run the same command to try them again")
    print(f"sweep: {total} of {total} experiments are finished; see python -m commands.seeds or dvc exp show")


def describe(result: RunResult) -> str:
    """Return the test log loss of an experiment, or the log of a failed one."""
    if result.ref is None:
        return f"failed, see {result.experiment.log}"
    return f"log loss {json.loads(show(result.ref, 'metrics/test.json'))['log_loss']}"


if __name__ == "__main__":
    run(main)
