"""Compare the test predictions of two experiments: is the second better, where, and on which reviews?

python -m commands.compare lstm rnn                          two experiments, branches, tags or commits
python -m commands.compare seeds-1,seeds-2,seeds-3 other-1,other-2,other-3     two settings, several trainings of each
python -m commands.compare HEAD:tfidf HEAD                   a baseline (tfidf, tfidf_balanced, majority) and the model
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
from src.core.files import spreadsheet_safe, write_csv
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
COLUMNS = list(PROBABILITIES)
FEWEST = 500
TEXT_WIDTH = 90


class Side(NamedTuple):
    """What is compared: its name, and the predictions of each of its trainings."""

    name: str
    tables: list[pd.DataFrame]

    @property
    def results(self) -> list[PredictionResult]:
        """The predictions as the metrics want them."""
        return [
            prediction_result(table[COLUMNS].to_numpy(), labels_of(table.rating), labels_of(table.predicted))
            for table in self.tables
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", help="experiment, branch, tag, commit or workspace; several separated by commas")
    parser.add_argument("second", help="the same; the differences say how much more it has")
    parser.add_argument("--show", type=int, default=5, metavar="N", help="changed reviews shown each way; default: 5")
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="of the bootstrap; default: 2000")
    parser.add_argument("--output", type=Path, metavar="FILE.csv", help="write all changed reviews to a file")
    given = parser.parse_args()
    if given.resamples < FEWEST:
        parser.error(f"--resamples must be {FEWEST} or more: with fewer no p-value of six metrics can be small enough")
    params = read_params(Path("params.yaml"))
    first, second = read_side(given.first), read_side(given.second)
    revisions = given.first.split(":")[0].split(","), given.second.split(":")[0].split(",")
    for table, revision in zip(second.tables + first.tables, revisions[1] + revisions[0], strict=True):
        same_reviews(first.tables[0], table, revisions[0][0], revision)

    def measure(result: PredictionResult) -> dict[str, float]:
        return scores(result, len(STARS), params.evaluate.bins)

    seed = seed_for(params.base.seed, "compare")
    ones, others = first.results, second.results
    table = compare(measure, ones, others, given.resamples, seed)
    classes = {"stars": first.tables[0].rating, "words": length_classes(first.tables[0].text)}
    parts = {name: by_class(of, ones, others) for name, of in classes.items()}
    changed = changed_reviews(first.tables[0], second.tables[0])
    if given.output:
        write_csv(given.output, changed.assign(text=changed.text.map(spreadsheet_safe)))
    print(report(first, second, table, parts))
    print(list_changes(changed, first.name, second.name, given.show))


def read_side(argument: str) -> Side:
    """Read what one argument names."""
    revisions, _, predictor = argument.partition(":")
    return Side(argument, [read_predictions(revision, predictor) for revision in revisions.split(",")])


def read_predictions(revision: str, predictor: str) -> pd.DataFrame:
    """The test reviews of a revision with what its model, or one of its baselines, says of them."""
    table = parquet_at(revision, PREDICTIONS)
    if predictor in ("", "model"):
        return table
    baselines = [name.removesuffix(".parquet") for name in names_at(revision, BASELINES)]
    if predictor not in baselines:
        raise UserError(f"{predictor}: {revision} has no such baseline; it has {', '.join(baselines)}")
    probabilities = parquet_at(revision, f"{BASELINES}/{predictor}.parquet")[COLUMNS]
    labels = np.load(io.BytesIO(read_at(revision, LABELS)), allow_pickle=False)
    prior = class_prior(labels, len(STARS))
    rule = yaml_at(revision, "params.yaml")["evaluate"]["decision"]
    predicted = np.array(STARS)[decide(probabilities.to_numpy(), rule, prior)]
    return table.assign(predicted=predicted, **{column: probabilities[column] for column in COLUMNS})


def same_reviews(first: pd.DataFrame, second: pd.DataFrame, one: str, other: str) -> None:
    """Refuse to compare what was tested on different reviews.

    Raises:
        UserError: says how many reviews both have, and which parameters of the data differ.
    """
    columns = ["row", "text", "rating"]
    if first[columns].equals(second[columns]):
        return
    both = len(first[["text", "rating"]].merge(second[["text", "rating"]]))
    here, there = (yaml_at(revision, "params.yaml") for revision in (one, other))
    differ = [
        f"{section}.{key}"
        for section in ("data", "prepare", "synthesize")
        for key in sorted({*here.get(section, {}), *there.get(section, {})})
        if here.get(section, {}).get(key) != there.get(section, {}).get(key)
    ]
    raise UserError(
        f"{one} and {other} were tested on different reviews ({len(first)} and {len(second)}, {both} in both): what "
        f"they score is no difference between models; "
        + (f"they differ in {', '.join(differ)}" if differ else "the data differ")
    )


def report(first: Side, second: Side, table: pd.DataFrame, parts: Mapping[str, pd.DataFrame]) -> str:
    """The tables, and what to make of them."""
    shown = pd.DataFrame(
        {
            "first": table["first"].map("{:.4f}".format),
            "second": table["second"].map("{:.4f}".format),
            "difference": table.difference.map("{:+.4f}".format),
            "95 % interval": [f"{low:+.4f} .. {high:+.4f}" for low, high in zip(table.low, table.high, strict=True)],
            "p": table.p.map("{:.3f}".format),
            "": table.different.map({True: "*", False: ""}),
        }
    ).rename_axis(None)
    lines = [
        f"first:  {first.name}",
        f"second: {second.name}",
        f"{len(first.tables[0])} test reviews\n",
        shown.to_string(),
        f"\n* differs by more than chance: p below {LEVEL} after Holm's correction for {len(table)} metrics",
    ]
    if min(len(first.tables), len(second.tables)) == 1:
        lines.append(
            "One training tells nothing about what another base.seed would give; to compare settings rather than two"
            " models, give several experiments of each, separated by commas."
        )
    for name, part in parts.items():
        lines.append("\n" + part.rename_axis(name).reset_index().to_string(index=False, float_format="{:.3f}".format))
    return "\n".join(lines)


def list_changes(changed: pd.DataFrame, first: str, second: str, shown: int) -> str:
    """The reviews that changed most, from wrong to right and back."""
    better = changed[changed["second"] == changed.rating]
    worse = changed[changed["first"] == changed.rating]
    lines = []
    for title, part in (("from wrong to right", better), ("from right to wrong", worse)):
        lines.append(f"\n{title}: {len(part)} reviews" + (", those that changed most:" if shown and len(part) else ""))
        for row in part.head(shown).itertuples():
            lines.append(f"  row {row.row}, {row.rating} stars: {row.first} -> {row.second}  {printable(row.text)}")
    return "\n".join(lines)


def printable(text: str) -> str:
    """The beginning of a text on one line, without characters that steer a terminal."""
    line = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in " ".join(text.split()))
    return line if len(line) <= TEXT_WIDTH else line[: TEXT_WIDTH - 1] + "…"


def labels_of(stars: pd.Series) -> np.ndarray:
    """The class of each number of stars, int64 [reviews]."""
    return stars.to_numpy(np.int64) - STARS[0]


if __name__ == "__main__":
    run(main)
