"""Turn words into ids by a static TensorFlow graph."""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

# TensorFlow reads both on import: hide its messages about the CPU, and skip oneDNN, which look-ups do not use.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
import numpy as np
import tensorflow as tf

from src.text.vocabulary import FIRST_WORD, UNKNOWN


class Tokenizer(tf.Module):  # type: ignore[misc]
    """A tf.function from cleaned texts to word ids, which TensorFlow Serving can load directly.

    Cleaning has done all the work on Unicode, so the graph splits at spaces only. A text without words becomes one
    unknown word, so every review has at least one id.
    """

    def __init__(self, words: list[str], max_length: int) -> None:
        super().__init__()
        self.max_length = max_length
        ids = tf.range(FIRST_WORD, FIRST_WORD + len(words), dtype=tf.int64)
        pairs = tf.lookup.KeyValueTensorInitializer(tf.constant(words, tf.string), ids)
        self.table = tf.lookup.StaticHashTable(pairs, default_value=UNKNOWN)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="texts")])  # type: ignore[untyped-decorator]
    def __call__(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `ids` (int32 [words], text after text) and `lengths` (int64 [texts], at most max_length)."""
        words = tf.strings.split(texts, " ")[:, : self.max_length]
        ids = tf.cast(self.table.lookup(words.flat_values), tf.int32)
        return {"ids": ids, "lengths": words.row_lengths()}

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Run the graph on some texts and return ids, int32 [words], and lengths, int64 [texts]."""
        encoded = self(tf.constant(texts, tf.string))
        return encoded["ids"].numpy(), encoded["lengths"].numpy()


@lru_cache(maxsize=1)
def cached_tokenizer(words: tuple[str, ...], max_length: int) -> Tokenizer:
    """Build a Tokenizer, or return the last one: building a graph takes as long as encoding many reviews."""
    return Tokenizer(list(words), max_length)


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a SavedModel that TensorFlow Serving can load.

    fingerprint.pb is removed: loading does not need it, and it is the only file that differs between two runs.
    """
    tf.saved_model.save(tokenizer, str(folder), signatures=tokenizer.__call__)
    (folder / "fingerprint.pb").unlink()


def load_tokenizer(folder: Path) -> Callable[[list[str]], tuple[np.ndarray, np.ndarray]]:
    """Load a saved Tokenizer; return its `encode`, which calls the same signature as TensorFlow Serving."""
    loaded = tf.saved_model.load(str(folder))

    def encode(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        encoded = loaded.signatures["serving_default"](texts=tf.constant(texts, tf.string))
        return encoded["ids"].numpy(), encoded["lengths"].numpy()

    return encode
