"""Clean each review: keep the words that carry its meaning, and reduce them to their stems."""

from collections import Counter
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
        failures = sum(executor.map(partial(clean_file, params.clean), jobs), Counter())
    if failures:
        kinds = ", ".join(f"{count} {kind}" for kind, count in failures.most_common())
        print(f"clean: {failures.total()} texts could not be cleaned and are now without words ({kinds})")


def clean_file(settings: Clean, job: tuple[Path, Path]) -> Counter[str]:
    """Clean the reviews of one file, each by the rules of its language, and write them to another.

    Returns:
        How many texts could not be cleaned, by the kind of the error; each of them is written without words.
    """
    source, target = job
    cleaners = cached_cleaners(settings, find_stop_words)
    failures: Counter[str] = Counter()

    def clean(text: str, language: str | None) -> str:
        try:
            return cleaners[cleaned_as(language)](text)
        except Exception as error:  # whatever it is, the other reviews are not lost for it
            failures[type(error).__name__] += 1
            return ""

    with atomic_write(target) as temporary:
        map_texts(source, temporary, clean)
    return failures


if __name__ == "__main__":
    run(main)
