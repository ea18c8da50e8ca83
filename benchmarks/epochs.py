"""An epoch of training on the default corpus: ours, other ways of doing it, and the least its matrix products can take.

Part of benchmarks.speed, which starts it as a program too, for kernels that are chosen when the libraries are imported:
python -m benchmarks.epochs ours
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from benchmarks import source_method
from benchmarks.timing import Way, compare, timed
from src.core.cpu_dispatch import PORTABLE
from src.core.params import Params, read_params
from src.learning.classification import ClassificationTask
from src.learning.model import ReviewModel
from src.learning.training import Training, be_deterministic
from src.text.encoded import EncodedReviews, load_encoded, pad, shuffled_batches
from src.text.vocabulary import FIRST_WORD, read_vocabulary

STARS = 5
SOURCE_HIDDEN, SOURCE_EMBEDDING = 64, 128  # as in source_method.SourceModel
FEW = 3  # steps that are measured where an epoch takes minutes


class Corpus:
    """The train split, its chosen rows in their batches, and one model that learns them."""

    def __init__(self, params: Params, most: int | None = None) -> None:
        self.params = params
        self.reviews = load_encoded(Path("data/encode/train"))
        self.rows = np.load("data/resample/rows.npy", allow_pickle=False)[:most]
        self.words = len(read_vocabulary(Path("data/encode/vocabulary.txt")))
        self.batches = list(shuffled_batches(self.reviews, self.rows, params.train.batch_size, seed=1))
        model = ReviewModel(params.model, FIRST_WORD + self.words, STARS)
        self.task = ClassificationTask(model, self.reviews, self.rows, self.reviews, np.zeros(STARS))
        self.training = Training(model, 10**6, params.train)

    def ours(self) -> None:
        """The steps of an epoch as src.learning.training.fit takes them."""
        self.task.network.train()
        for batch in self.batches:
            self.training.take_step(*self.task.loss(batch))

    def ours_wide(self, batch: np.ndarray) -> None:
        """One step of our model on reviews padded to source_method.LENGTH words."""
        ids, lengths = (torch.from_numpy(values) for values in wide(self.reviews, batch))
        logits, labels = self.task.network(ids, lengths), torch.from_numpy(self.reviews.labels[batch])
        self.training.take_step(functional.cross_entropy(logits, labels), len(batch))

    def products(self) -> None:
        """The matrix products of an epoch of the LSTM as plain torch.mm: forward, and both gradients.

        Word by word where the next needs the last; all at once where it does not.
        """
        settings, words = self.params.model, max(self.widths)
        gates, most = 4 * settings.hidden_size, self.params.train.batch_size * words
        sizes = settings.embedding_dim, settings.hidden_size, gates
        inputs, states, gradients = (torch.rand(most, size) for size in sizes)
        from_input, from_state = torch.rand(gates, settings.embedding_dim), torch.rand(gates, settings.hidden_size)
        pooled, output = torch.rand(len(inputs), 4 * settings.hidden_size), torch.rand(STARS, 4 * settings.hidden_size)
        for batch, width in zip(self.batches, self.widths, strict=True):
            reviews, cells = len(batch), len(batch) * width
            for _ in range(2 if settings.bidirectional else 1):
                torch.mm(inputs[:cells], from_input.T)
                torch.mm(gradients[:cells], from_input)
                torch.mm(gradients[:cells].T, inputs[:cells])
                torch.mm(gradients[:cells].T, states[:cells])
                for _ in range(width):
                    torch.mm(states[:reviews], from_state.T)
                    torch.mm(gradients[:reviews], from_state)
            logits = torch.mm(pooled[:reviews], output.T)
            torch.mm(logits, output)
            torch.mm(logits.T, pooled[:reviews])

    @property
    def widths(self) -> list[int]:
        """Words to which each batch is padded."""
        return [int(self.reviews.lengths[batch].max()) for batch in self.batches]

    @property
    def operations(self) -> int:
        """Floating point operations of `products`: a forward product and two of the same size for its gradients."""
        settings = self.params.model
        directions = 2 if settings.bidirectional else 1
        word = 2 * 4 * settings.hidden_size * (settings.embedding_dim + settings.hidden_size) * directions
        review = 2 * 4 * settings.hidden_size * STARS
        cells = sum(len(batch) * width for batch, width in zip(self.batches, self.widths, strict=True))
        return 3 * (cells * word + len(self.rows) * review)


def train(params: Params, rounds: int) -> None:
    """An epoch of the default corpus in several ways, then an epoch of a small table in the source's way."""
    be_deterministic(1)
    corpus = Corpus(params)
    tokens = int(corpus.reviews.lengths[corpus.rows].sum())
    equal, end_to_end = keras_ways(corpus)
    random = np.random.default_rng(1).permutation(corpus.rows)
    unsorted = [random[i : i + params.train.batch_size] for i in range(0, len(random), params.train.batch_size)]
    padded = f"ours padded to {source_method.LENGTH}, in random order ({FEW} steps, scaled)"
    ways: dict[str, Way | str] = {
        "ours": timed(corpus.ours),
        "Keras, the same padded batches": timed(equal),
        "Keras, fit() on shuffled batches": timed(end_to_end),
        padded: scaled(corpus.ours_wide, unsorted),
        "matrix products of ours as torch.mm": timed(corpus.products),
        "ours, train.portable": portable("ours"),
        "matrix products, train.portable": portable("products"),
    }
    compare("train (target: 2.5 times Keras, half the products)", "words", tokens, ways, rounds)
    padding = 1 - tokens / sum(len(batch) * width for batch, width in zip(corpus.batches, corpus.widths, strict=True))
    print(
        f"\nAn epoch is {len(corpus.batches)} steps, {tokens} words, {corpus.operations / 1e9:.1f} GFLOP of products;"
    )
    print(f"{padding:.1%} of the cells are padding.")

    small = Corpus(params, source_method.TABLE)
    batches = [small.rows[i : i + source_method.BATCH] for i in range(0, source_method.TABLE, source_method.BATCH)]
    ways = {
        "ours": timed(small.ours),
        f"the source's way in Keras ({FEW} steps, scaled)": scaled(source_in_keras(small.reviews), batches),
        f"the source's way in PyTorch ({FEW} steps, scaled)": scaled(source_in_torch(small.reviews), batches),
    }
    title = f"train on {source_method.TABLE} reviews (target: 100 times the source's way: two LSTMs of {SOURCE_HIDDEN},"
    compare(f"{title} {source_method.LENGTH} words)", "reviews", source_method.TABLE, ways, rounds)


def scaled(step: Callable[[np.ndarray], None], batches: list[np.ndarray]) -> Way:
    """Take a few steps and give the seconds that as many as there are batches would take."""

    def way() -> float:
        start = time.perf_counter()
        for batch in batches[:FEW]:
            step(batch)
        return (time.perf_counter() - start) * len(batches) / FEW

    return way


def portable(what: str) -> Way:
    """Let a process with portable kernels do something; give the seconds that it says."""

    def way() -> float:
        command = [sys.executable, "-m", "benchmarks.epochs", what]
        done = subprocess.run(command, env=os.environ | PORTABLE, text=True, stdout=subprocess.PIPE, check=True)
        return float(done.stdout)

    return way


def keras_ways(corpus: Corpus) -> tuple[Callable[[], None], Callable[[], None]]:
    """An epoch in Keras on our padded batches, and one as its users write it: TextVectorization, shuffle, fit().

    The same embedding and LSTM in both directions; no dropout, no clipping and no pooling, which Keras has to add.
    """
    import tensorflow as tf

    settings, reviews = corpus.params.model, corpus.reviews
    table = pd.read_parquet("data/clean/train.parquet").iloc[corpus.rows]
    words = read_vocabulary(Path("data/encode/vocabulary.txt"))
    vectorization = tf.keras.layers.TextVectorization(
        standardize=None, split="whitespace", ragged=True, vocabulary=words
    )
    ids, labels = vectorization(tf.constant(table.text.tolist())), table.rating.to_numpy() - 1
    data = tf.data.Dataset.from_tensor_slices((ids, labels)).shuffle(len(labels))
    data = data.ragged_batch(corpus.params.train.batch_size).map(lambda ids, labels: (ids.to_tensor(), labels))

    def make() -> tf.keras.Model:
        model = tf.keras.Sequential(
            [
                tf.keras.layers.Embedding(vectorization.vocabulary_size(), settings.embedding_dim, mask_zero=True),
                tf.keras.layers.Bidirectional(tf.keras.layers.LSTM(settings.hidden_size)),
                tf.keras.layers.Dense(STARS, activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    same_shapes, fitted = make(), make()

    def equal() -> None:
        for batch in corpus.batches:
            same_shapes.train_on_batch(pad(reviews, batch)[0], reviews.labels[batch])

    return equal, lambda: fitted.fit(data, verbose=0)


def source_in_keras(reviews: EncodedReviews) -> Callable[[np.ndarray], None]:
    """One step of two stacked LSTMs in Keras on reviews padded in front."""
    import tensorflow as tf

    model = tf.keras.Sequential(
        [
            tf.keras.layers.Embedding(source_method.WORDS, SOURCE_EMBEDDING),
            tf.keras.layers.LSTM(SOURCE_HIDDEN, return_sequences=True),
            tf.keras.layers.LSTM(SOURCE_HIDDEN),
            tf.keras.layers.Dense(STARS, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return lambda batch: model.train_on_batch(padded_in_front(reviews, batch), reviews.labels[batch])


def source_in_torch(reviews: EncodedReviews) -> Callable[[np.ndarray], None]:
    """One step of two stacked LSTMs in PyTorch on reviews padded in front."""
    model = source_method.SourceModel()
    optimiser = torch.optim.Adam(model.parameters())

    def step(batch: np.ndarray) -> None:
        optimiser.zero_grad()
        found = model(torch.from_numpy(padded_in_front(reviews, batch)))
        functional.cross_entropy(found, torch.from_numpy(reviews.labels[batch])).backward()
        optimiser.step()

    return step


def padded_in_front(reviews: EncodedReviews, batch: np.ndarray) -> np.ndarray:
    """Ids of the source's few words, int64 [batch, source_method.LENGTH]."""
    ids, lengths = wide(reviews, batch)
    rolled = [np.roll(row, -length) for row, length in zip(ids, lengths, strict=True)]
    return np.minimum(np.stack(rolled), source_method.WORDS - 1)


def wide(reviews: EncodedReviews, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids padded on the right, int64 [batch, source_method.LENGTH], and lengths."""
    ids, lengths = pad(reviews, batch)
    return np.pad(ids, ((0, 0), (0, source_method.LENGTH - ids.shape[1]))), lengths


def main() -> None:
    be_deterministic(1)
    work = getattr(Corpus(read_params(Path("params.yaml"))), sys.argv[1])
    work()
    print(timed(work)())


if __name__ == "__main__":
    main()
