"""Write the default corpus: app reviews drawn from a known process."""

import csv
from pathlib import Path

from ruamel.yaml import YAML

from src.core.errors import run
from src.core.files import replacing
from src.core.params import read_params
from src.corpus.synthesis import Clauses, synthesize

CLAUSES = Path("src/corpus/clauses.yaml")
CORPUS = Path("data/raw/reviews.csv")


def main() -> None:
    params = read_params(Path("params.yaml"))
    reviews = synthesize(read_clauses(), params.synthesize.reviews, params.synthesize.seed)
    with replacing(CORPUS) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        first = next(reviews)
        writer = csv.DictWriter(file, first, lineterminator="\n")
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(reviews)
    print(f"synthesize: {params.synthesize.reviews} reviews in {CORPUS}")


def read_clauses() -> Clauses:
    """The words that reviews are made of."""
    return YAML(typ="safe", pure=True).load(CLAUSES.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run(main)
