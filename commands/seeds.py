"""Print the test metrics of commits and their experiments, averaged over seeds: mean ± standard deviation of n runs.

python -m commands.seeds                                      the last commit and its experiments
python -m commands.seeds --over base.seed,prepare.split_salt  average over splits too
python -m commands.seeds main v1.0                            other branches, tags or commits
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from commands.experiments import as_text, flatten, git, refs_of, show
from src.core.errors import UserError, run
from src.core.files import parse_yaml
from src.core.params import read_params

METRICS = ["accuracy", "macro_f1", "qwk", "mae", "log_loss", "excess_log_loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", default=["HEAD"], help="branches, tags or commits; default: HEAD")
    parser.add_argument(
        "--over", default="base.seed", metavar="KEY,...", help="parameters to average over; default: base.seed"
    )
    parser.add_argument("--metrics", default=",".join(METRICS), metavar="NAME,...", help="metrics in metrics/test.json")
    args = parser.parse_args()
    read_params(Path("params.yaml"))
    params, metrics = read_all(args.revisions)
    over, chosen = args.over.split(","), args.metrics.split(",")
    for name in over:
        if name not in params:
            raise UserError(f"--over {name}: params.yaml has no such key")
    if unknown := set(chosen) - set(metrics) - set(METRICS):
        raise UserError(
            f"--metrics: metrics/test.json has no {', '.join(sorted(unknown))}; choose from {', '.join(metrics)}"
        )
    known = [name for name in chosen if name in metrics]
    print(average(params, metrics[known], over).to_string(index=False))


def read_all(revisions: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the parameters (as text) and the test metrics of commits and their experiments, one row each.

    Raises:
        UserError: a commit does not exist, or nothing has metrics.
    """
    params, metrics = [], []
    for revision in revisions:
        try:
            commit = git("rev-parse", "--verify", f"{revision}^{{commit}}")
        except UserError:
            raise UserError(f"{revision}: no such commit, branch or tag") from None
        for run_revision in (commit, *refs_of(commit).values()):
            try:
                metrics.append(json.loads(show(run_revision, "metrics/test.json")))
            except UserError:  # the pipeline never ran for this commit
                continue
            settings = flatten(parse_yaml(show(run_revision, "params.yaml"), run_revision))
            params.append({"commit": commit[:7]} | {key: as_text(value) for key, value in settings.items()})
    if not metrics:
        raise UserError(f"{', '.join(revisions)}: no metrics/test.json and no experiments; run dvc repro and commit")
    return pd.DataFrame(params), pd.DataFrame(metrics)


def average(params: pd.DataFrame, metrics: pd.DataFrame, over: Sequence[str]) -> pd.DataFrame:
    """Average the metrics over rows that differ only in the parameters `over`, and sort by log loss.

    Duplicate rows count once. The table has a column for each other parameter that is not the same in all rows.
    """
    distinct = ~params.duplicated()
    params, metrics = params[distinct], metrics[distinct]
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
