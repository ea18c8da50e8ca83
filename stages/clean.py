"""Clean each review: keep the words that carry its meaning, and reduce them to their stems."""

from functools import partial
from pathlib import Path

from src.core.errors import run
from src.core.executor import open_executor
from src.core.files import atomic_write
from src.core.params import Clean, read_params
from src.core.schema import SPLITS
from src.tables.review_parquet import list_parts, map_texts
from src.text.cleaning import cached_cleaners
from src.text.languages import cleaned_as
from src.text.stop_words import find_stop_words

INPUT = Path("data/prepare")
TRANSFER = Path("data/teach/transfer.parquet")
OUTPUT = Path("data/clean")


def main() -> None:
    params = read_params(Path("params.yaml"))
    with atomic_write(OUTPUT) as temporary, open_executor(params.engine) as executor:
        sources = [path for split in SPLITS for path in list_parts(INPUT / f"{split}.parquet")]
        jobs = [(source, temporary / source.relative_to(INPUT)) for source in sources]
        jobs.append((TRANSFER, temporary / TRANSFER.name))
        for _, target in jobs:
            target.parent.mkdir(parents=True, exist_ok=True)
        executor.map(partial(clean_file, params.clean), jobs)


def clean_file(settings: Clean, job: tuple[Path, Path]) -> None:
    """Clean the reviews of one file, each by the rules of its language, and write them to another."""
    source, target = job
    cleaners = cached_cleaners(settings, find_stop_words)
    with atomic_write(target) as temporary:
        map_texts(source, temporary, lambda text, language: cleaners[cleaned_as(language)](text))


if __name__ == "__main__":
    run(main)
