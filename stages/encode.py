"""Turn words into ids by a TensorFlow graph and stars into labels; the vocabulary comes from the train split alone."""

import shutil
from collections import Counter
from collections.abc import Iterator
from functools import partial
from operator import add
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.preprocessing import LabelEncoder

from src.core.errors import UserError, run
from src.core.executor import open_executor
from src.core.files import atomic_write, write_json
from src.core.params import read_params
from src.core.schema import SPLITS, STARS
from src.tables.review_parquet import list_parts, read_parts
from src.text.encoded import EncodedReviews, join_encoded, save_encoded
from src.text.tokenizer import Tokenizer, cached_tokenizer, save_tokenizer
from src.text.vocabulary import UNKNOWN, choose_vocabulary, count_words

INPUT = Path("data/clean")
OUTPUT = Path("data/encode")
METRICS = Path("metrics/encode.json")


def main() -> None:
    params = read_params(Path("params.yaml"))
    settings = params.encode
    with atomic_write(OUTPUT) as temporary, open_executor(params.engine) as executor:
        vocabulary, scratch = temporary / "vocabulary.txt", temporary / "scratch"
        scratch.mkdir(parents=True)
        counts = executor.fold(count_file, add, list_parts(INPUT / "train.parquet"))
        words = choose_vocabulary(counts, settings.min_count, settings.vocabulary_size)
        if not words:
            raise UserError(f"no word occurs {settings.min_count} times in the train split; lower encode.min_count")
        vocabulary.write_text("\n".join(words) + "\n", encoding="utf-8", newline="\n")
        save_tokenizer(Tokenizer(words, settings.max_length), temporary / "tokenizer")
        oov_rate = {}
        for split in SPLITS:
            files = list_parts(INPUT / f"{split}.parquet")
            jobs = [(file, scratch / f"{split}-{number}") for number, file in enumerate(files)]
            found = executor.map(partial(encode_file, vocabulary, settings.max_length), jobs)
            join_encoded(temporary / split, [folder for _, folder in jobs])
            oov_rate[split] = round(sum(few for few, _ in found) / sum(all_of_them for _, all_of_them in found), 4)
        shutil.rmtree(scratch)
        write_json(temporary / "stars.json", list(STARS))
    write_json(METRICS, {"vocabulary": len(words), "oov_rate": oov_rate})
    print(f"encode: {len(words)} words; out-of-vocabulary rate: {oov_rate}")


def count_file(path: Path) -> Counter[str]:
    """Count the words of one file."""
    return count_words(text for part in read_parts(path) for text in part.column("text").to_pylist())


def encode_file(vocabulary: Path, max_length: int, job: tuple[Path, Path]) -> tuple[int, int]:
    """Encode the reviews of one file into a folder; count the words that are unknown, and all."""
    source, target = job
    words = tuple(vocabulary.read_text(encoding="utf-8").splitlines())
    reviews = encode(read_parts(source), cached_tokenizer(words, max_length))
    with atomic_write(target) as temporary:
        save_encoded(temporary, reviews)
    return int(np.count_nonzero(reviews.ids == UNKNOWN)), len(reviews.ids)


def encode(parts: Iterator[pa.RecordBatch], tokenizer: Tokenizer) -> EncodedReviews:
    """Encode reviews part by part."""
    labels = LabelEncoder().fit(STARS)
    ids, lengths, classes = [np.zeros(0, np.int32)], [np.zeros(1, np.int64)], [np.zeros(0, np.int64)]
    for part in parts:
        part_ids, part_lengths = tokenizer.encode(part.column("text").to_pylist())
        ids.append(part_ids)
        lengths.append(part_lengths)
        classes.append(labels.transform(part.column("rating").to_numpy()))
    return EncodedReviews(np.concatenate(ids), np.cumsum(np.concatenate(lengths)), np.concatenate(classes))


if __name__ == "__main__":
    run(main)
