"""Reduce each review to the words that carry its meaning."""

from pathlib import Path

from src.cleaning import make_cleaner
from src.domain import SPLITS
from src.errors import run
from src.files import replacing
from src.function_words import function_words
from src.params import read_params
from src.review_files import map_texts

INPUT = Path("data/prepare")
OUTPUT = Path("data/clean")


def main() -> None:
    params = read_params(Path("params.yaml"))
    clean = make_cleaner(params.data.language, params.clean, function_words(params.data.language))
    with replacing(OUTPUT) as aside:
        aside.mkdir()
        for split in SPLITS:
            map_texts(INPUT / f"{split}.parquet", aside / f"{split}.parquet", clean)


if __name__ == "__main__":
    run(main)
