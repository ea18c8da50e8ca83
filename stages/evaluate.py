"""Score the model and the baselines on the test split, which no earlier stage learns from."""

from pathlib import Path
from typing import NamedTuple

from src.core.cpu_dispatch import choose_kernels
from src.core.errors import run
from src.core.params import Params, read_params

choose_kernels(__name__, Path("params.yaml"))  # before the imports: libraries choose their kernels on import

import numpy as np
import pandas as pd

from src.core.files import atomic_write, read_json, write_csv, write_json
from src.core.schema import TRUE_PROBABILITIES
from src.core.seeds import seed_for
from src.evaluation.decisions import class_prior, decide
from src.evaluation.metrics import PredictionResult, prediction_result
from src.evaluation.occlusion import word_effects
from src.evaluation.score_tables import (
    confusion_table,
    decision_table,
    prediction_table,
    reliability_table,
    score_table,
    star_table,
    word_table,
    worst_mistakes,
)
from src.evaluation.slices import column_classes, length_classes, slice_table
from src.learning.classification import predict
from src.learning.model import ReviewModel, load_model
from src.learning.training import be_deterministic, choose_device
from src.text.encoded import EncodedReviews, load_encoded
from src.text.vocabulary import read_vocabulary

PREPARED = Path("data/prepare")
ENCODED = Path("data/encode")
RESAMPLED = Path("data/resample")
MODEL = Path("models/train")
BASELINES = Path("data/baseline")
TEACHER = Path("data/teach")
OUTPUT = Path("data/evaluate")
METRICS = Path("metrics/test.json")
PLOTS = Path("plots/evaluate")


class TestSplit(NamedTuple):
    """The test reviews as text and as word ids, the rating of each class, and the class prior of the train split."""

    table: pd.DataFrame
    reviews: EncodedReviews
    stars: list[int]
    prior: np.ndarray


def main() -> None:
    params = read_params(Path("params.yaml"))
    be_deterministic(params.train.threads)
    stars = read_json(ENCODED / "stars.json")
    prior = class_prior(load_encoded(ENCODED / "train").labels, len(stars))
    test = TestSplit(pd.read_parquet(PREPARED / "test.parquet"), load_encoded(ENCODED / "test"), stars, prior)
    model = load_model(MODEL, len(stars)).to(choose_device(params.train.device))
    shift = np.array(read_json(RESAMPLED / "log_prior_shift.json"))

    predictions = read_baselines({"model": predict(model, test.reviews, shift)}, test)
    results = {
        name: prediction_result(
            probabilities, test.reviews.labels, decide(probabilities, params.evaluate.decision, prior)
        )
        for name, probabilities in predictions.items()
    }
    write_tables(params, test, predictions["model"], results["model"], model, shift)
    scores = write_plots(params, test, results)
    values = scores.pivot(index="predictor", columns="metric", values="value")
    metrics = values.loc["model"].to_dict()
    if "bayes_optimal" in predictions:
        excess = metrics["log_loss"] - values.loc["bayes_optimal", "log_loss"]
        metrics["excess_log_loss"] = round(excess, 4)
    write_json(METRICS, metrics)
    table = values.loc[list(predictions), scores["metric"].unique().tolist()].rename_axis(index=None, columns=None)
    print(f"evaluate: {len(test.table)} test reviews\n{table.to_string()}")


def read_baselines(predictions: dict[str, np.ndarray], test: TestSplit) -> dict[str, np.ndarray]:
    """Add the probabilities of the teacher, the baselines and, if the table has them, the true ones (bayes_optimal)."""
    paths = [*TEACHER.glob("teacher.parquet"), *sorted(BASELINES.glob("*.parquet"))]
    baselines = {path.stem: pd.read_parquet(path).to_numpy(np.float64) for path in paths}
    truth = test.table[list(TRUE_PROBABILITIES)]
    optimal = {"bayes_optimal": truth.to_numpy()} if truth.notna().all(axis=None) else {}
    return predictions | baselines | optimal


def write_tables(
    params: Params,
    test: TestSplit,
    probabilities: np.ndarray,
    result: PredictionResult,
    model: ReviewModel,
    shift: np.ndarray,
) -> None:
    """Write the predictions for each test review, and tables that show where and why the model is wrong."""

    def expected_rating(reviews: EncodedReviews) -> np.ndarray:
        return predict(model, reviews, shift) @ test.stars

    settings, stars = params.evaluate, test.stars
    words = read_vocabulary(ENCODED / "vocabulary.txt")
    random = np.random.default_rng(seed_for(params.base.seed, "explained"))
    explained = np.sort(random.permutation(len(test.table))[: settings.explained])
    effects = word_effects(test.reviews, explained, expected_rating)
    valid = load_encoded(ENCODED / "valid")
    predictions = prediction_table(test.table, probabilities, result.predicted, stars)
    mistakes = worst_mistakes(predictions, result.loss, settings.mistakes)
    slices = slice_table(slices_of(test.table, params.data.slice_columns), result, stars)
    decisions = decision_table(predict(model, valid, shift), valid.labels, test.prior, settings.bins)
    with atomic_write(OUTPUT) as temporary:
        temporary.mkdir()
        predictions.to_parquet(temporary / "predictions.parquet", index=False)
        write_csv(temporary / "decisions.csv", decisions)
        write_csv(temporary / "slices.csv", slices)
        write_csv(temporary / "words.csv", word_table(effects, words))
        write_csv(temporary / "mistakes.csv", mistakes)


def slices_of(table: pd.DataFrame, columns: list[str]) -> dict[str, pd.Series]:
    """Return the class of each review by length, by language and by each slice column, where they differ."""
    slices = {"words": length_classes(table.text)}
    if table.language.nunique(dropna=False) > 1:
        slices["language"] = column_classes(table.language.fillna("unsure"))
    for index, column in enumerate(columns):
        values = table.slices.str[index]
        if values.notna().any():
            slices[column] = column_classes(values)
    return slices


def write_plots(params: Params, test: TestSplit, results: dict[str, PredictionResult]) -> pd.DataFrame:
    """Write the tables that `dvc plots` draws, and return the scores of all predictors."""
    settings, result = params.evaluate, results["model"]
    seed = seed_for(params.base.seed, "bootstrap")
    scores = score_table(results, len(test.stars), settings.bins, settings.bootstrap, seed)
    with atomic_write(PLOTS) as temporary:
        temporary.mkdir()
        write_csv(temporary / "scores.csv", scores)
        write_csv(temporary / "confusion.csv", confusion_table(result, test.stars))
        write_csv(temporary / "reliability.csv", reliability_table(result, settings.bins))
        write_csv(temporary / "stars.csv", star_table(result, test.stars))
    return scores


if __name__ == "__main__":
    run(main)
