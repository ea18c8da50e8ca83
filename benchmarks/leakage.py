"""Score the model on the test reviews that nearly equal another review, by where that review is, and on the rest.

dvc repro evaluate && python -m benchmarks.leakage
"""

from pathlib import Path

import numpy as np
import pandas as pd

from src.core.schema import PROBABILITIES, SPLITS, TRUE_PROBABILITIES, letters_and_digits, normalised_text

PREDICTIONS = Path("data/evaluate/predictions.parquet")


def main() -> None:
    letters = {
        split: texts.map(normalised_text).map(letters_and_digits) for split, texts in read_texts("prepare").items()
    }
    cleaned = read_texts("clean")
    leaked = letters["test"].isin(letters["train"])
    held_out = pd.concat([letters["valid"], letters["test"]])
    groups = {
        "the letters and digits of a train review": leaked,
        "those of another valid or test review only": letters["test"].isin(held_out[held_out.duplicated()]) & ~leaked,
        "the cleaned text of a train review": cleaned["test"].isin(cleaned["train"]),
    }
    groups["none of these"] = ~pd.DataFrame(groups).any(axis=1)
    groups["all"] = leaked | True
    reviews = scored_reviews()
    print("| test reviews with | reviews | " + " | ".join(reviews) + " |")
    print("|---" * (len(reviews.columns) + 2) + "|")
    for name, chosen in groups.items():
        cells = [f"{mean:.3f}" if chosen.any() else "" for mean in reviews[chosen.to_numpy()].mean()]
        print(f"| {name} | {chosen.sum():,} | " + " | ".join(cells) + " |")


def read_texts(stage: str) -> dict[str, pd.Series]:
    """Return the texts of each split as a stage wrote them."""
    return {split: pd.read_parquet(f"data/{stage}/{split}.parquet").text for split in SPLITS}


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
