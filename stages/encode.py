"""Turn words into ids by a TensorFlow graph and stars into labels; the vocabulary comes from the train split alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.preprocessing import LabelEncoder

from src.domain import SPLITS, STARS
from src.errors import UserError, run
from src.files import replacing, write_json
from src.params import read_params
from src.review_files import read_parts
from src.reviews import Reviews, save_reviews
from src.tokenizer import Tokenizer, save_tokenizer
from src.vocabulary import UNKNOWN, choose_words, count_words

INPUT = Path("data/clean")
OUTPUT = Path("data/encode")
METRICS = Path("metrics/encode.json")


def main() -> None:
    params = read_params(Path("params.yaml"))
    train_texts = (text for part in read_parts(INPUT / "train.parquet") for text in part.column("text").to_pylist())
    words = choose_words(count_words(train_texts), params.encode.min_count, params.encode.max_words)
    if not words:
        raise UserError(f"no word occurs {params.encode.min_count} times in the train split; lower encode.min_count")
    tokenizer = Tokenizer(words, params.encode.max_length)
    labels = LabelEncoder().fit(STARS)
    unknown = {}
    with replacing(OUTPUT) as aside:
        aside.mkdir()
        for split in SPLITS:
            reviews = encode(read_parts(INPUT / f"{split}.parquet"), tokenizer, labels)
            save_reviews(aside / split, reviews)
            unknown[split] = round(float(np.mean(reviews.ids == UNKNOWN)), 4)
        save_tokenizer(tokenizer, aside / "tokenizer")
        (aside / "vocabulary.txt").write_text("\n".join(words) + "\n", encoding="utf-8", newline="\n")
        write_json(aside / "stars.json", labels.classes_.tolist())
    write_json(METRICS, {"vocabulary": len(words), "unknown": unknown})
    print(f"encode: {len(words)} words; unknown: {unknown}")


def encode(parts: Iterator[pa.RecordBatch], tokenizer: Tokenizer, labels: LabelEncoder) -> Reviews:
    """Encode the reviews of a split part by part."""
    ids, lengths, classes = [], [np.zeros(1, np.int64)], []
    for part in parts:
        part_ids, part_lengths = tokenizer.encode(part.column("text").to_pylist())
        ids.append(part_ids)
        lengths.append(part_lengths)
        classes.append(labels.transform(part.column("rating").to_numpy()))
    return Reviews(np.concatenate(ids), np.cumsum(np.concatenate(lengths)), np.concatenate(classes))


if __name__ == "__main__":
    run(main)
