"""Let the majority and TF-IDF + logistic regression predict the same test reviews."""

from pathlib import Path

from src.core.cpu_dispatch import choose_kernels
from src.core.errors import run
from src.core.params import read_params

if __name__ == "__main__":  # before the imports below, with which libraries choose kernels
    run(lambda: choose_kernels(read_params(Path("params.yaml")).train.portable))

import pandas as pd
from sklearn.preprocessing import LabelEncoder
from threadpoolctl import threadpool_limits

from src.core.files import replacing
from src.core.schema import STARS
from src.evaluation.baselines import Texts, logistic_regressions, majority

INPUT = Path("data/prepare")
OUTPUT = Path("data/baseline")


def main() -> None:
    params = read_params(Path("params.yaml"))
    labels = LabelEncoder().fit(STARS)

    def read(split: str) -> Texts:
        table = pd.read_parquet(INPUT / f"{split}.parquet", columns=["text", "rating"])
        return Texts(table.text.tolist(), labels.transform(table.rating))

    threadpool_limits(1)  # the order in which threads add up would show in the last digits
    train, valid, test = read("train"), read("valid"), read("test")
    predictions = {"majority": majority(train.labels, len(test.texts), len(STARS))}
    for name, probabilities, strength in logistic_regressions(train, valid, test.texts, len(STARS), params.baseline):
        predictions[name] = probabilities
        print(f"baseline: {name}: C = {strength}, the best of {params.baseline.strengths} on the validation split")
    with replacing(OUTPUT) as aside:
        aside.mkdir()
        columns = [f"p{star}" for star in STARS]
        for name, probabilities in predictions.items():
            pd.DataFrame(probabilities, columns=columns).to_parquet(aside / f"{name}.parquet", index=False)


if __name__ == "__main__":
    run(main)
