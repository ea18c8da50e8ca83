"""Replace one generated review in a thousand by a hostile text: the others must be cleaned and rated as without it.

dvc repro
python -m benchmarks.hostile --reviews 1000000

Prints the seconds of clean and predict on both tables, and how many of the other reviews differ. Needs about 1 GB in
the temporary folder.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from src.core.params import read_params
from src.corpus.synthesis import synthesize
from stages.clean import clean_file
from stages.synthesize import read_clauses
from tests.text.hostile_texts import hostile_text

ONE_IN = 1000
LONGEST = 20_000
SCHEMA = pa.schema([("text", pa.string()), ("language", pa.string())])
PART = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        plain, hostile = Path(name) / "plain.parquet", Path(name) / "hostile.parquet"
        replaced = write_tables(plain, hostile, given.reviews, given.seed)
        print("| step | seconds | seconds with hostile texts | other reviews that differ |\n|---|---|---|---|")
        for step in (clean, predict):
            results = [step(path) for path in (plain, hostile)]
            (first, plain_seconds), (second, hostile_seconds) = results
            differing = count_differing(first, second, replaced)
            print(f"| {step.__name__} | {plain_seconds:.0f} | {hostile_seconds:.0f} | {differing:,} |", flush=True)


def write_tables(plain: Path, hostile: Path, reviews: int, seed: int) -> set[int]:
    """Write a table twice, the second time with hostile texts in some rows; return the numbers of these rows."""
    random, texts = Random(seed), (str(review["content"]) for review in synthesize(read_clauses(), reviews, seed))
    replaced: set[int] = set()
    with pq.ParquetWriter(plain, SCHEMA) as first, pq.ParquetWriter(hostile, SCHEMA) as second:
        for start in range(0, reviews, PART):
            part = list(islice(texts, PART))
            first.write_table(table_of(part))
            for row in range(random.randrange(ONE_IN), len(part), ONE_IN):
                text = hostile_text(random, random.randint(1, LONGEST))
                part[row] = text.encode("utf-8", "replace").decode()  # a table cannot hold half a surrogate
                replaced.add(start + row)
            second.write_table(table_of(part))
    return replaced


def table_of(texts: Sequence[str]) -> pa.Table:
    """Make a part of a table as `clean` reads it."""
    return pa.table({"text": texts, "language": [None] * len(texts)}, SCHEMA)


def clean(path: Path) -> tuple[Path, float]:
    """Clean a table; return the cleaned one and the seconds."""
    target, start = path.with_stem(f"{path.stem}_cleaned"), time.perf_counter()
    failures = clean_file(read_params(Path("params.yaml")).clean, (path, target))
    assert not failures, failures
    return target, time.perf_counter() - start


def predict(path: Path) -> tuple[Path, float]:
    """Rate a table with the exported model of this folder; return the rated one and the seconds."""
    target, start = path.with_stem(f"{path.stem}_rated"), time.perf_counter()
    command = ["-m", "commands.predict", str(path), "--output", str(target), "--text-column", "text"]
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return target, time.perf_counter() - start


def count_differing(first: Path, second: Path, replaced: set[int]) -> int:
    """Count the rows that differ between two tables, apart from the replaced ones."""
    pairs = zip(rows_of(first), rows_of(second), strict=True)
    return sum(one != other for row, (one, other) in enumerate(pairs) if row not in replaced)


def rows_of(path: Path) -> Iterator[dict[str, object]]:
    """Yield the rows of a table."""
    for batch in pq.ParquetFile(path).iter_batches(PART):
        yield from batch.to_pylist()


if __name__ == "__main__":
    main()
