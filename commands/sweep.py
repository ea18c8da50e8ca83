"""Run every combination of a grid of sweeps.yaml as a DVC experiment named by its settings, and no finished one again.

python -m commands.sweep resampling                              six experiments: lr=0.001+strategy=none, ...
python -m commands.sweep seeds --jobs 2 -S train.portable=false  the same change in all of them
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from tqdm import tqdm

from commands.experiments import LOGS, Experiment, Experiments, FinishedRun, as_text, read_sweep, show
from src.core.errors import UserError, run
from src.core.files import parse_yaml


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a grid of sweeps.yaml")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="experiments side by side; default: 1")
    parser.add_argument("-S", "--set-param", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for all")
    given = parser.parse_args()
    if given.jobs < 1:
        parser.error("--jobs must be 1 or more")
    grid = read_sweep("grids", given.name)
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"sweeps.yaml: grids.{given.name}.{key}: not a list of values")
    planned = combine(grid | {key: [value] for key, value in map(read_change, given.set_param)})
    experiments = Experiments()
    for experiment in planned:
        experiments.check(experiment)
    with experiments.alone({experiment.name for experiment in planned}):
        sweep(experiments, planned, given.jobs)


def read_change(text: str) -> tuple[str, Any]:
    """Read section.key=value.

    Raises:
        UserError: it is none.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"-S {text}: not SECTION.KEY=VALUE")
    return key, parse_yaml(value, f"-S {text}")


def combine(grid: Mapping[str, Sequence[Any]]) -> list[Experiment]:
    """Give every combination of the values, named by the last parts of the keys where these differ.

    Raises:
        UserError: two of them have the same name.
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
        raise UserError(f"{name}: the grid has it {times} times")
    return planned


def sweep(experiments: Experiments, planned: Sequence[Experiment], jobs: int) -> None:
    """Run what is not finished.

    Raises:
        UserError: names those that failed, or says that it was interrupted.
    """
    missing = experiments.missing(planned)
    if not missing:
        print(f"sweep: {len(planned)} of {len(planned)} experiments are there; nothing to run")
        return
    print(f"sweep: {len(planned) - len(missing)} of {len(planned)} experiments are there; logs in {LOGS}", flush=True)
    with tqdm(total=len(planned), initial=len(planned) - len(missing), unit="experiment", disable=None) as bar:

        def report(ended: FinishedRun) -> None:
            bar.update(ended.ref is not None)
            with tqdm.external_write_mode():
                print(f"{ended.experiment.name}: {result(ended)}, {ended.seconds:.0f} s", flush=True)

        try:
            experiments.run(missing, jobs, report)
        except KeyboardInterrupt:
            done = len(planned) - len(experiments.missing(planned))
            raise UserError(
                f"interrupted: {done} of {len(planned)} experiments are there; the same command goes on"
            ) from None
    conclude(planned, experiments.missing(planned))


def result(ended: FinishedRun) -> str:
    """What came of a run."""
    if ended.ref is None:
        return f"failed, see {ended.experiment.log}"
    return f"log loss {json.loads(show(ended.ref, 'metrics/test.json'))['log_loss']}"


def conclude(planned: Sequence[Experiment], missing: Sequence[Experiment]) -> None:
    """Say how it ended.

    Raises:
        UserError: names those that failed.
    """
    if missing:
        logs = ", ".join(f"{experiment.name} (see {experiment.log})" for experiment in missing)
        raise UserError(
            f"{len(missing)} of {len(planned)} experiments failed: {logs}; the same command runs them again"
        )
    print(
        f"sweep: {len(planned)} of {len(planned)} experiments; python -m commands.seeds or dvc exp show --only-changed"
    )


if __name__ == "__main__":
    run(main)
