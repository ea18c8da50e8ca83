"""Generate the default corpus: app reviews drawn from a known process."""

import csv
from pathlib import Path

from src.core.errors import run
from src.core.files import atomic_write, parse_yaml
from src.core.params import read_params
from src.corpus.synthesis import Clauses, synthesize

CLAUSES = Path("src/corpus/clauses.yaml")
CORPUS = Path("data/raw/reviews.csv")


def main() -> None:
    params = read_params(Path("params.yaml"))
    reviews = synthesize(read_clauses(), params.synthesize.reviews, params.synthesize.seed)
    with atomic_write(CORPUS) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        first = next(reviews)
        writer = csv.DictWriter(file, first, lineterminator="\n")
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(reviews)
    print(f"synthesize: wrote {params.synthesize.reviews} reviews to {CORPUS}")


def read_clauses() -> Clauses:
    """Read the clauses that reviews are composed of."""
    return parse_yaml(CLAUSES.read_text(encoding="utf-8"), str(CLAUSES))


if __name__ == "__main__":
    run(main)
