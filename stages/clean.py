"""Reduce each review to the words that carry its meaning."""

from functools import partial
from pathlib import Path

from src.cleaning import kept_cleaner
from src.domain import SPLITS
from src.engine import open_engine
from src.errors import run
from src.files import replacing
from src.function_words import function_words
from src.params import Clean, Language, read_params
from src.review_files import list_parts, map_texts

INPUT = Path("data/prepare")
OUTPUT = Path("data/clean")


def main() -> None:
    params = read_params(Path("params.yaml"))
    with replacing(OUTPUT) as aside, open_engine(params.engine) as engine:
        sources = [path for split in SPLITS for path in list_parts(INPUT / f"{split}.parquet")]
        jobs = [(source, aside / source.relative_to(INPUT)) for source in sources]
        for _, target in jobs:
            target.parent.mkdir(parents=True, exist_ok=True)
        engine.map(partial(clean_file, params.data.language, params.clean), jobs)


def clean_file(language: Language, settings: Clean, job: tuple[Path, Path]) -> None:
    """Clean the reviews of one file into another."""
    source, target = job
    with replacing(target) as aside:
        map_texts(source, aside, kept_cleaner(language, settings, function_words(language)))


if __name__ == "__main__":
    run(main)
