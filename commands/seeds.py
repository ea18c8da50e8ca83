"""Tabulate commits and their experiments, those that differ in their seed alone as one row: mean ± standard deviation.

python -m commands.seeds                                  the last commit and its experiments
python -m commands.seeds --over base.seed,prepare.split_salt    over several splits, too
python -m commands.seeds main v1.0                        those of other branches, tags or commits
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from commands.experiments import as_text, flat, git, refs_of, show
from src.core.errors import UserError, run
from src.core.files import parse_yaml
from src.core.params import read_params

METRICS = ["accuracy", "macro_f1", "qwk", "mae", "log_loss", "excess_log_loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", default=["HEAD"], help="branches, tags or commits; default: HEAD")
    parser.add_argument("--over", default="base.seed", metavar="KEY,...", help="parameters that are no setting")
    parser.add_argument("--metrics", default=",".join(METRICS), metavar="NAME,...", help="of metrics/test.json")
    given = parser.parse_args()
    read_params(Path("params.yaml"))
    params, metrics = read_all(given.revisions)
    over, chosen = given.over.split(","), given.metrics.split(",")
    for name in over:
        if name not in params:
            raise UserError(f"--over {name}: params.yaml has no such key")
    known = [name for name in chosen if name in metrics]
    if unknown := set(chosen) - set(metrics) - set(METRICS):
        raise UserError(f"--metrics {', '.join(unknown)}: not in metrics/test.json; there are {', '.join(metrics)}")
    print(average(params, metrics[known], over).to_string(index=False))


def read_all(revisions: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the parameters, as text, and the test metrics of commits and of their experiments, a row each.

    Raises:
        UserError: no such commit, or none has metrics.
    """
    params, metrics = [], []
    for revision in revisions:
        try:
            commit = git("rev-parse", "--verify", f"{revision}^{{commit}}")
        except UserError:
            raise UserError(f"{revision}: no such commit, branch or tag") from None
        for place in (commit, *refs_of(commit).values()):
            try:
                metrics.append(json.loads(show(place, "metrics/test.json")))
            except UserError:  # a commit whose pipeline never ran
                continue
            settings = flat(parse_yaml(show(place, "params.yaml"), place))
            params.append({"commit": commit[:7]} | {key: as_text(value) for key, value in settings.items()})
    if not metrics:
        raise UserError(f"{', '.join(revisions)}: no metrics/test.json, nor experiments; run dvc repro and commit")
    return pd.DataFrame(params), pd.DataFrame(metrics)


def average(params: pd.DataFrame, metrics: pd.DataFrame, over: Sequence[str]) -> pd.DataFrame:
    """Average the metrics over rows that differ in the parameters `over` alone; the best log loss comes first.

    Equal rows count once. A column stands for each parameter that differs between the rows.
    """
    once = ~params.duplicated()
    params, metrics = params[once], metrics[once]
    settings = [name for name in params if name not in over and params[name].nunique(dropna=False) > 1]
    groups = metrics.groupby([params[name] for name in settings] or [0] * len(metrics), dropna=False)
    means, deviations = groups.mean(), groups.std(ddof=1)
    cells = {
        name: [
            "-" if pd.isna(mean) else f"{mean:.4f}" + ("" if pd.isna(deviation) else f" ± {deviation:.4f}")
            for mean, deviation in zip(means[name], deviations[name], strict=True)
        ]
        for name in metrics
    }
    table = pd.DataFrame({"n": groups.size(), **cells}, index=means.index)
    if "log_loss" in means:
        table = table.loc[means.log_loss.sort_values().index]
    return table.reset_index()[[*settings, "n", *metrics]]


if __name__ == "__main__":
    run(main)
