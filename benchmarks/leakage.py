"""Score the model on the test reviews that nearly equal a train review, and on the rest.

dvc repro evaluate && python -m benchmarks.leakage
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from src.core.schema import PROBABILITIES, TRUE_PROBABILITIES, letters_and_digits, normalised_text

PREDICTIONS = Path("data/evaluate/predictions.parquet")


def main() -> None:
    texts = {split: pd.read_parquet(f"data/prepare/{split}.parquet").text for split in ("train", "test")}
    cleaned = {split: pd.read_parquet(f"data/clean/{split}.parquet").text for split in ("train", "test")}
    letters = {split: texts[split].map(normalised_text).map(letters_and_digits) for split in texts}
    leaked = {
        "same letters and digits": is_known(letters["test"], letters["train"]),
        "same cleaned text": is_known(cleaned["test"], cleaned["train"]),
    }
    leaked["neither"] = ~(leaked["same letters and digits"] | leaked["same cleaned text"])
    leaked["all"] = np.ones(len(texts["test"]), bool)
    reviews = scored_reviews()
    print("| test reviews with a train review of the | reviews | " + " | ".join(reviews) + " |")
    print("|---" * (len(reviews.columns) + 2) + "|")
    for name, chosen in leaked.items():
        cells = [f"{mean:.3f}" for mean in reviews[chosen].mean()] if chosen.any() else [""] * len(reviews.columns)
        print(f"| {name} | {chosen.sum():,} | " + " | ".join(cells) + " |")


def is_known(test: pd.Series, train: Iterable[str]) -> np.ndarray:
    """Return which test texts are also train texts: bool [test reviews]."""
    return test.isin(set(train)).to_numpy()


def scored_reviews() -> pd.DataFrame:
    """Return whether each test review is predicted right, its log loss, and that of its true probabilities if known."""
    predictions, test = pd.read_parquet(PREDICTIONS), pd.read_parquet("data/prepare/test.parquet")
    place = (np.arange(len(test)), test.rating.to_numpy() - 1)
    scores = {
        "accuracy": (predictions.predicted == test.rating).to_numpy(),
        "log_loss": -np.log(predictions[list(PROBABILITIES)].to_numpy()[place]),
    }
    true_probabilities = test[list(TRUE_PROBABILITIES)].to_numpy(np.float64)
    if not np.isnan(true_probabilities).any():
        scores["bayes_optimal log_loss"] = -np.log(true_probabilities[place])
    return pd.DataFrame(scores)


if __name__ == "__main__":
    main()
