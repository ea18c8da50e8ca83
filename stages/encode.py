"""Encode words as ids with a TensorFlow graph, and stars as labels; the vocabulary is from train and extra reviews."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from hashlib import blake2b
from operator import add
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.preprocessing import LabelEncoder

from src.core.errors import UserError, run
from src.core.executor import open_executor
from src.core.files import atomic_write, read_json, write_json
from src.core.params import read_params
from src.core.schema import SPLITS, STARS
from src.tables.review_parquet import list_parts, read_parts
from src.text.encoded import EncodedReviews, join_encoded, save_encoded
from src.text.stop_words import find_stop_words
from src.text.tokenizer import Tokenizer, cached_tokenizer, save_tokenizer
from src.text.unknown_words import WARNED, likely_reason
from src.text.vocabulary import UNKNOWN, choose_vocabulary, count_words, read_vocabulary

INPUT = Path("data/clean")
LANGUAGE = Path("data/prepare/language.json")
OUTPUT = Path("data/encode")
METRICS = Path("metrics/encode.json")
TRANSFER = "transfer"
"""The transfer set, which has no stars."""


def main() -> None:
    params = read_params(Path("params.yaml"))
    settings = params.encode
    with atomic_write(OUTPUT) as temporary, open_executor(params.engine) as executor:
        vocabulary, scratch = temporary / "vocabulary.txt", temporary / "scratch"
        scratch.mkdir(parents=True)
        counts = executor.fold(count_file, add, list_parts(INPUT / "train.parquet"))
        extra_counts = executor.map(count_file, [INPUT / f"{TRANSFER}.parquet"])[0]
        words = choose_vocabulary(counts, extra_counts, settings)
        if not words:
            raise UserError(f"no word occurs {settings.min_count} times in the train split; lower encode.min_count")
        vocabulary.write_text("\n".join(words) + "\n", encoding="utf-8", newline="\n")
        save_tokenizer(Tokenizer(words, settings.max_length), temporary / "tokenizer")
        oov_rate, texts = {}, {}
        for split in (*SPLITS, TRANSFER):
            files = list_parts(INPUT / f"{split}.parquet")
            jobs = [(file, scratch / f"{split}-{number}") for number, file in enumerate(files)]
            counted = executor.map(partial(encode_file, vocabulary, settings.max_length), jobs)
            join_encoded(temporary / split, [folder for _, folder in jobs])
            if total := sum(words_read for _, words_read in counted):
                oov_rate[split] = round(sum(unknown for unknown, _ in counted) / total, 4)
            texts[split] = np.concatenate([np.load(digests_path(folder), allow_pickle=False) for _, folder in jobs])
        reason = ""
        if oov_rate["valid"] > WARNED:
            unknown = executor.fold(count_file, add, list_parts(INPUT / "valid.parquet"))
            for word in words:
                del unknown[word]
            reason = likely_reason(unknown, counts, settings.min_count, read_json(LANGUAGE), find_stop_words)
        shutil.rmtree(scratch)
        write_json(temporary / "stars.json", list(STARS))
    leakage = {split: int(np.isin(texts[split], texts["train"]).sum()) for split in SPLITS if split != "train"}
    write_json(METRICS, {"vocabulary": len(words), "oov_rate": oov_rate, "leakage": leakage})
    rates = ", ".join(f"{split} {rate:.2%}" for split, rate in oov_rate.items())
    print(f"encode: vocabulary of {len(words)} words; out-of-vocabulary rate: {rates}")
    if reason:
        print(f"encode: warning: {oov_rate['valid']:.0%} of the words in the validation split are unknown; {reason}")
    print(f"encode: {leakage['test']} of {len(texts['test'])} test reviews are equal to a train review after cleaning")


def count_file(path: Path) -> Counter[str]:
    """Count the words of one file, without those of variations, which repeat the words of the train split."""
    return count_words(text for batch in read_parts(path) for text in own_texts(batch))


def own_texts(batch: pa.RecordBatch) -> list[str]:
    """Return the texts of a batch that people wrote."""
    if "variation" in batch.schema.names:
        batch = batch.filter(pc.invert(batch.column("variation")))
    texts: list[str] = batch.column("text").to_pylist()
    return texts


def encode_file(vocabulary: Path, max_length: int, job: tuple[Path, Path]) -> tuple[int, int]:
    """Encode the reviews of one file into a folder; return the number of unknown words and of all words."""
    source, target = job
    words = tuple(read_vocabulary(vocabulary))
    texts: list[bytes] = []
    reviews = encode(digested(read_parts(source), texts), cached_tokenizer(words, max_length))
    np.save(digests_path(target), np.frombuffer(b"".join(texts), np.uint64), allow_pickle=False)
    with atomic_write(target) as temporary:
        save_encoded(temporary, reviews)
    return int(np.count_nonzero(reviews.ids == UNKNOWN)), len(reviews.ids)


def digests_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-texts.npy")


def digested(batches: Iterable[pa.RecordBatch], digests: list[bytes]) -> Iterator[pa.RecordBatch]:
    """Pass batches of reviews on and add an 8-byte digest of each cleaned text: equal texts have equal digests."""
    for batch in batches:
        digests += [blake2b(text.encode(), digest_size=8).digest() for text in batch.column("text").to_pylist()]
        yield batch


def encode(batches: Iterator[pa.RecordBatch], tokenizer: Tokenizer) -> EncodedReviews:
    """Encode reviews batch by batch; the labels of reviews without a rating are all 0."""
    encoder = LabelEncoder().fit(STARS)
    ids, lengths, classes = [np.zeros(0, np.int32)], [np.zeros(1, np.int64)], [np.zeros(0, np.int64)]
    for batch in batches:
        batch_ids, batch_lengths = tokenizer.encode(batch.column("text").to_pylist())
        ids.append(batch_ids)
        lengths.append(batch_lengths)
        if "rating" in batch.schema.names:
            classes.append(encoder.transform(batch.column("rating").to_numpy()))
        else:
            classes.append(np.zeros(len(batch), np.int64))
    return EncodedReviews(np.concatenate(ids), np.cumsum(np.concatenate(lengths)), np.concatenate(classes))


if __name__ == "__main__":
    run(main)
