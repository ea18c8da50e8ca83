"""Predict the test split with the baselines: the majority class and TF-IDF + logistic regression."""

from pathlib import Path

from src.core.cpu_dispatch import choose_kernels
from src.core.errors import run
from src.core.params import read_params

choose_kernels(__name__, Path("params.yaml"))  # the libraries imported below choose theirs at import

import pandas as pd
from sklearn.preprocessing import LabelEncoder
from threadpoolctl import threadpool_limits

from src.core.files import atomic_write
from src.core.schema import PROBABILITIES, STARS
from src.evaluation.baselines import Texts, logistic_regressions, majority

INPUT = Path("data/prepare")
OUTPUT = Path("data/baseline")


def main() -> None:
    params = read_params(Path("params.yaml"))
    labels = LabelEncoder().fit(STARS)

    def read(split: str) -> Texts:
        table = pd.read_parquet(INPUT / f"{split}.parquet", columns=["text", "rating"])
        return Texts(table.text.tolist(), labels.transform(table.rating))

    threadpool_limits(1)  # with more threads, the order of summation changes the last digits
    train, valid, test = read("train"), read("valid"), read("test")
    predictions = {"majority": majority(train.labels, len(test.texts), len(STARS))}
    for name, probabilities, best_c in logistic_regressions(train, valid, test.texts, len(STARS), params.baseline):
        predictions[name] = probabilities
        print(f"baseline: {name}: C = {best_c} has the best validation loss of {params.baseline.C}")
    with atomic_write(OUTPUT) as temporary:
        temporary.mkdir()
        for name, probabilities in predictions.items():
            pd.DataFrame(probabilities, columns=PROBABILITIES).to_parquet(temporary / f"{name}.parquet", index=False)


if __name__ == "__main__":
    run(main)
