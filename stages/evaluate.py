"""Score the model and the baselines on the test split, which nothing before has looked at."""

from pathlib import Path

from src.core.cpu_dispatch import choose_kernels
from src.core.errors import run
from src.core.params import Model, read_params

if __name__ == "__main__":  # before the imports below, with which libraries choose kernels
    run(lambda: choose_kernels(read_params(Path("params.yaml")).train.portable))

import numpy as np
import pandas as pd
from safetensors.torch import load_file

from src.core.files import read_json, replacing, spreadsheet_safe, write_csv, write_json
from src.core.schema import TRUTH
from src.core.seeds import seed_for
from src.evaluation.decisions import decide
from src.evaluation.metrics import outcome
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
from src.learning.model import ReviewModel
from src.learning.training import be_deterministic, choose_device
from src.text.encoded import Reviews, load_reviews

PREPARED = Path("data/prepare")
ENCODED = Path("data/encode")
RESAMPLED = Path("data/resample")
MODEL = Path("models/train")
BASELINES = Path("data/baseline")
OUTPUT = Path("data/evaluate")
METRICS = Path("metrics/test.json")
PLOTS = Path("plots/evaluate")


def main() -> None:
    params = read_params(Path("params.yaml"))
    settings = params.evaluate
    be_deterministic(params.train.threads)
    stars = read_json(ENCODED / "stars.json")
    texts = pd.read_parquet(PREPARED / "test.parquet")
    reviews = load_reviews(ENCODED / "test")
    shift = np.array(read_json(RESAMPLED / "log_prior_shift.json"))

    description = read_json(MODEL / "model.json")
    model = ReviewModel(Model(**description["model"]), description["words"], len(stars))
    model.load_state_dict(load_file(MODEL / "model.safetensors"))
    model.to(choose_device(params.train.device))
    valid = load_reviews(ENCODED / "valid")

    everyone = {"model": predict(model, reviews, shift)}
    for path in sorted(BASELINES.glob("*.parquet")):
        everyone[path.stem] = pd.read_parquet(path).to_numpy()
    if texts[list(TRUTH)].notna().all(axis=None):
        everyone["floor"] = texts[list(TRUTH)].to_numpy()
    train_labels = load_reviews(ENCODED / "train").labels
    prior = np.bincount(train_labels, minlength=len(stars)) / len(train_labels)
    outcomes = {
        name: outcome(probabilities, reviews.labels, decide(probabilities, settings.decision, prior))
        for name, probabilities in everyone.items()
    }
    result = outcomes["model"]
    seed = seed_for(params.base.seed, "bootstrap")
    scores = score_table(outcomes, len(stars), settings.bins, settings.bootstrap, seed)
    predictions = prediction_table(texts, everyone["model"], result.predicted, stars)
    decisions = decision_table(predict(model, valid, shift), valid.labels, prior, settings.bins)
    slices = {"words": length_classes(texts.text)}
    for place, column in enumerate(params.data.slice_columns):
        values = texts.slices.str[place]
        if values.notna().any():
            slices[column] = column_classes(values)

    def expected(some: Reviews) -> np.ndarray:
        return predict(model, some, shift) @ stars

    words = (ENCODED / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    random = np.random.default_rng(seed_for(params.base.seed, "explained"))
    explained = np.sort(random.permutation(len(texts))[: settings.explained])

    with replacing(OUTPUT) as aside:
        aside.mkdir()
        predictions.to_parquet(aside / "predictions.parquet", index=False)
        write_csv(aside / "decisions.csv", decisions)
        write_csv(aside / "slices.csv", safe(slice_table(slices, result, stars), "value"))
        write_csv(aside / "words.csv", safe(word_table(word_effects(reviews, explained, expected), words), "word"))
        mistakes = worst_mistakes(predictions, result.loss, settings.mistakes)
        write_csv(aside / "mistakes.csv", safe(mistakes, "text"))
    with replacing(PLOTS) as aside:
        aside.mkdir()
        write_csv(aside / "scores.csv", scores)
        write_csv(aside / "confusion.csv", confusion_table(result, stars))
        write_csv(aside / "reliability.csv", reliability_table(result, settings.bins))
        write_csv(aside / "stars.csv", star_table(result, stars))
    values = scores.pivot(index="of", columns="metric", values="value")
    metrics = values.loc["model"].to_dict()
    if "floor" in everyone:
        metrics["above_floor"] = round(metrics["log_loss"] - values.loc["floor", "log_loss"], 4)
    write_json(METRICS, metrics)
    table = values.loc[list(everyone), scores["metric"].unique().tolist()].rename_axis(index=None, columns=None)
    print(f"evaluate: {len(texts)} test reviews\n{table.to_string()}")


def safe(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """The table with a column of other people's text made safe for spreadsheets."""
    return table.assign(**{column: table[column].map(spreadsheet_safe)})


if __name__ == "__main__":
    run(main)
