"""Compare the test predictions of a and b: is b better, where, and on which reviews?

python -m commands.compare lstm rnn                          two experiments, branches, tags or commits
python -m commands.compare seeds-1,seeds-2,seeds-3 other-1,other-2,other-3     two settings, several trainings of each
python -m commands.compare HEAD:tfidf HEAD                   a baseline (tfidf, tfidf_balanced, majority) and the model
python -m commands.compare HEAD:teacher HEAD                 the teacher and the model that learnt from it
"""

import argparse
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from commands.revisions import names_at, parquet_at, read_at, yaml_at
from src.core.errors import UserError, run
from src.core.files import write_csv
from src.core.params import read_params
from src.core.schema import PROBABILITIES, STARS
from src.core.seeds import seed_for
from src.evaluation.decisions import class_prior, decide
from src.evaluation.metrics import PredictionResult, prediction_result, scores
from src.evaluation.significance import LEVEL, by_class, changed_reviews, compare
from src.evaluation.slices import length_classes

PREDICTIONS = "data/evaluate/predictions.parquet"
LABELS = "data/encode/train/labels.npy"
BASELINES = "data/baseline"
TEACHER = Path("data/teach/teacher.parquet")
COLUMNS = list(PROBABILITIES)
MIN_RESAMPLES = 500
TEXT_WIDTH = 90


class Side(NamedTuple):
    """One side of the comparison: its name, and the revisions and test predictions of its trainings."""

    name: str
    revisions: list[str]
    tables: list[pd.DataFrame]

    @property
    def results(self) -> list[PredictionResult]:
        """The predictions in the form that the metrics take."""
        return [
            prediction_result(table[COLUMNS].to_numpy(), labels_of(table.rating), labels_of(table.predicted))
            for table in self.tables
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", help="experiment, branch, tag, commit or workspace; several separated by commas")
    parser.add_argument("b", help="the same; differences are b - a")
    parser.add_argument("--show", type=int, default=5, metavar="N", help="changed reviews to show each way; default: 5")
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="bootstrap resamples; default: 2000")
    parser.add_argument("--output", type=Path, metavar="FILE.csv", help="write all changed reviews to this file")
    args = parser.parse_args()
    if args.resamples < MIN_RESAMPLES:
        parser.error(f"--resamples must be {MIN_RESAMPLES} or more; with fewer, p-values are too coarse")
    params = read_params(Path("params.yaml"))
    a, b = read_side(args.a), read_side(args.b)
    for side in (b, a):
        for revision, table in zip(side.revisions, side.tables, strict=True):
            check_same_reviews(a.tables[0], table, a.revisions[0], revision)

    def measure(result: PredictionResult) -> dict[str, float]:
        return scores(result, len(STARS), params.evaluate.bins)

    a_results, b_results = a.results, b.results
    table = compare(measure, a_results, b_results, args.resamples, seed_for(params.base.seed, "compare"))
    classes = {"stars": a.tables[0].rating, "words": length_classes(a.tables[0].text)}
    tables_by_class = {name: by_class(values, a_results, b_results) for name, values in classes.items()}
    changed = changed_reviews(a.tables[0], b.tables[0])
    if args.output:
        write_csv(args.output, changed)
    print(report(a, b, table, tables_by_class))
    print(list_changes(changed, args.show))


def read_side(argument: str) -> Side:
    """Read the predictions that one argument names: revisions, and after a colon the predictor."""
    names, _, predictor = argument.partition(":")
    revisions = names.split(",")
    return Side(argument, revisions, [read_predictions(revision, predictor) for revision in revisions])


def read_predictions(revision: str, predictor: str) -> pd.DataFrame:
    """Return the test reviews of a revision with the predictions of its model, its teacher or one of its baselines."""
    table = parquet_at(revision, PREDICTIONS)
    if predictor in ("", "model"):
        return table
    baselines = [name.removesuffix(".parquet") for name in names_at(revision, BASELINES)]
    taught = TEACHER.name in names_at(revision, str(TEACHER.parent))
    others = [*baselines, *([TEACHER.stem] if taught else [])]
    if predictor not in others:
        raise UserError(f"{predictor}: {revision} has no such predictor; choose one of {', '.join(others)}")
    path = f"{BASELINES}/{predictor}.parquet" if predictor in baselines else str(TEACHER)
    probabilities = parquet_at(revision, path)[COLUMNS].astype(float)
    labels = np.load(io.BytesIO(read_at(revision, LABELS)), allow_pickle=False)
    prior = class_prior(labels, len(STARS))
    rule = yaml_at(revision, "params.yaml")["evaluate"]["decision"]
    predicted = np.array(STARS)[decide(probabilities.to_numpy(), rule, prior)]
    return table.assign(predicted=predicted, **{column: probabilities[column] for column in COLUMNS})


def check_same_reviews(a: pd.DataFrame, b: pd.DataFrame, a_revision: str, b_revision: str) -> None:
    """Check that two tables of predictions hold the same test reviews.

    Raises:
        UserError: they do not; the message says how many they share and which parameters of the data differ.
    """
    columns = ["row", "text", "rating"]
    if a[columns].equals(b[columns]):
        return
    shared = len(a[["text", "rating"]].merge(b[["text", "rating"]]))
    a_params, b_params = (yaml_at(revision, "params.yaml") for revision in (a_revision, b_revision))
    differ = [
        f"{section}.{key}"
        for section in ("data", "prepare", "synthesize")
        for key in sorted({*a_params.get(section, {}), *b_params.get(section, {})})
        if a_params.get(section, {}).get(key) != b_params.get(section, {}).get(key)
    ]
    raise UserError(
        f"{a_revision} and {b_revision} were tested on different reviews ({len(a)} and {len(b)}, {shared} shared), so "
        f"their scores cannot be compared; they differ in {', '.join(differ) if differ else 'the data itself'}"
    )


def report(a: Side, b: Side, table: pd.DataFrame, tables_by_class: Mapping[str, pd.DataFrame]) -> str:
    """Format the tables and explain how to read them."""
    shown = pd.DataFrame(
        {
            "a": table.a.map("{:.4f}".format),
            "b": table.b.map("{:.4f}".format),
            "difference (b - a)": table.difference.map("{:+.4f}".format),
            "95 % interval": [f"{low:+.4f} .. {high:+.4f}" for low, high in zip(table.low, table.high, strict=True)],
            "p": table.p.map("{:.3f}".format),
            "": table.different.map({True: "*", False: ""}),
        }
    ).rename_axis(None)
    lines = [
        f"a: {a.name}",
        f"b: {b.name}",
        f"{len(a.tables[0])} test reviews\n",
        shown.to_string(),
        f"\n* more than chance: p below {LEVEL} after Holm's correction for {len(table)} metrics",
    ]
    if min(len(a.tables), len(b.tables)) == 1:
        lines.append(
            "One training does not show how much the result varies with base.seed. To compare settings and not just two"
            " models, name several experiments of each, separated by commas."
        )
    for name, part in tables_by_class.items():
        lines.append("\n" + part.rename_axis(name).reset_index().to_string(index=False, float_format="{:.3f}".format))
    return "\n".join(lines)


def list_changes(changed: pd.DataFrame, limit: int) -> str:
    """List the reviews that changed most, from wrong to right and from right to wrong."""
    better, worse = changed[changed.b == changed.rating], changed[changed.a == changed.rating]
    lines = []
    for title, part in (("from wrong to right", better), ("from right to wrong", worse)):
        lines.append(f"\n{title}: {len(part)} reviews" + (", largest changes first:" if limit and len(part) else ""))
        for row in part.head(limit).itertuples():
            lines.append(f"  row {row.row}, {row.rating} stars: {row.a} -> {row.b}  {printable(row.text)}")
    return "\n".join(lines)


def printable(text: str) -> str:
    """Return the start of a text on one line, without characters that control a terminal."""
    line = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in " ".join(text.split()))
    return line if len(line) <= TEXT_WIDTH else line[: TEXT_WIDTH - 1] + "…"


def labels_of(stars: pd.Series) -> np.ndarray:
    """Return the class of each rating, int64 [reviews]."""
    return stars.to_numpy(np.int64) - STARS[0]


if __name__ == "__main__":
    run(main)
