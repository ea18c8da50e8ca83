"""Measure how fast each part is on one core, beside other ways of doing the same; write Markdown tables.

dvc repro evaluate; OMP_NUM_THREADS=1 taskset -c 0 python -m benchmarks.speed --parts clean,encode --rounds 5
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # as TensorFlow comes; src.tokenizer would turn it off for Keras too
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import numpy as np
import pandas as pd
import tensorflow as tf
import torch
from nltk.stem.snowball import SnowballStemmer
from safetensors.torch import load_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from benchmarks.epochs import train
from benchmarks.timing import Way, compare, timed
from src.cleaning import make_cleaner
from src.domain import SPLITS
from src.files import read_json
from src.function_words import function_words
from src.model import ReviewModel
from src.params import Model, Params, read_params
from src.rating import predict
from src.reviews import Reviews
from src.tokenizer import Tokenizer
from src.vocabulary import FIRST_WORD, UNKNOWN

PROCESSES = ("stages", "growth")  # measured from outside, by benchmarks.growth


def main() -> None:
    parts: dict[str, Callable[[Params, int], None]] = {"clean": clean, "encode": encode, "train": train, "score": score}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ",".join([*parts, *PROCESSES])
    parser.add_argument("--parts", default=names, help=f"names separated by commas; default: {names}")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each way, in turn; default: 5")
    given = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    torch.set_num_threads(1)
    params = read_params(Path("params.yaml"))
    for part in given.parts.split(","):
        if part in PROCESSES:
            command = [sys.executable, "-m", "benchmarks.growth", "--parts", part, "--rounds", str(given.rounds)]
            subprocess.run(command, check=True)
        elif part in parts:
            parts[part](params, given.rounds)
        else:
            parser.error(f"{part}: no such part; there are {names}")


def clean(params: Params, rounds: int) -> None:
    """The cleaner, from an empty dictionary, against a loop of regular expression, stop words and stemmer."""
    texts = texts_of("prepare", SPLITS)
    tokens = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[!?]+")
    words = function_words(params.data.language)
    stop = words.stop - words.kept
    stemmer = SnowballStemmer(params.data.language)

    def ours() -> None:
        cleaner = make_cleaner(params.data.language, params.clean, words)
        for text in texts:
            cleaner(text)

    def loop() -> None:
        for text in texts:
            " ".join([stemmer.stem(word) for word in tokens.findall(text.lower()) if word not in stop])

    ways: dict[str, Way | str] = {"ours": timed(ours), "NLTK, each word stemmed where it stands": timed(loop)}
    compare("clean (target: 25 times as fast)", "reviews", len(texts), ways, rounds)


def encode(params: Params, rounds: int) -> None:
    """The static graph against Keras and against a dictionary, all with the same words."""
    texts, words, limit = texts_of("clean", SPLITS), vocabulary(), params.encode.max_length
    tokenizer = Tokenizer(words, limit)
    keras = tf.keras.layers.TextVectorization(standardize=None, split="whitespace", ragged=True, vocabulary=words)
    ids = dict(zip(words, range(FIRST_WORD, FIRST_WORD + len(words)), strict=True))
    graph = tf.function(keras.call, input_signature=[tf.TensorSpec([None], tf.string)])
    ways: dict[str, Way | str] = {
        "ours, a static TensorFlow graph": timed(lambda: tokenizer.encode(texts)),
        "Keras TextVectorization, called": timed(lambda: keras(tf.constant(texts)).values.numpy()),
        "Keras TextVectorization, in a graph": timed(lambda: graph(tf.constant(texts)).values.numpy()),
        "Python dictionary": timed(lambda: by_dictionary(texts, ids, limit)),
    }
    compare("encode", "reviews", len(texts), ways, rounds)


def score(params: Params, rounds: int) -> None:
    """From raw texts to probabilities: ours, TF-IDF with logistic regression, and fastText."""
    texts, seen = texts_of("prepare", SPLITS), texts_of("prepare", ("train",))
    stars = pd.read_parquet("data/prepare/train.parquet", columns=["rating"]).rating.to_numpy()
    description = read_json(Path("models/train/model.json"))
    shift = np.array(read_json(Path("data/resample/log_prior_shift.json")))
    model = ReviewModel(Model(**description["model"]), description["words"], len(shift))
    model.load_state_dict(load_file("models/train/model.safetensors"))
    words, limit = vocabulary(), params.encode.max_length
    ids = dict(zip(words, range(FIRST_WORD, FIRST_WORD + len(words)), strict=True))
    tokenizer = Tokenizer(words, limit)

    def ours(encoder: Callable[[list[str]], tuple[np.ndarray, np.ndarray]]) -> None:
        clean = make_cleaner(params.data.language, params.clean, function_words(params.data.language))
        found, lengths = encoder(list(map(clean, texts)))
        predict(model, Reviews(found, np.cumsum([0, *lengths]), np.zeros(len(texts), np.int64)), shift)

    settings = params.baseline
    vectorizer = TfidfVectorizer(ngram_range=(1, settings.ngrams), min_df=settings.min_count, sublinear_tf=True)
    regression = LogisticRegression(C=1.0, max_iter=1000).fit(vectorizer.fit_transform(seen), stars)
    ways = {
        "ours, words to ids by a dictionary": timed(lambda: ours(lambda cleaned: by_dictionary(cleaned, ids, limit))),
        "ours, words to ids by the graph": timed(lambda: ours(tokenizer.encode)),
        "TF-IDF + logistic regression": timed(lambda: regression.predict_proba(vectorizer.transform(texts))),
        "fastText, words and pairs of words": fasttext_way(seen, stars, texts),
    }
    compare("score raw text (target: 5,000 a second)", "reviews", len(texts), ways, rounds)


def fasttext_way(seen: list[str], stars: Iterable[int], texts: list[str]) -> Way | str:
    """Train fastText and let it say the probabilities of all stars."""
    try:
        import fasttext
    except ImportError:
        return "fasttext is not installed"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        lines = (f"__label__{star} {one_line(text)}\n" for star, text in zip(stars, seen, strict=True))
        path.write_text("".join(lines), encoding="utf-8")
        model = fasttext.train_supervised(str(path), wordNgrams=2, epoch=10, thread=1, verbose=0)
    return timed(lambda: model.predict([one_line(text) for text in texts], k=5))


def one_line(text: str) -> str:
    """A text as fastText reads it: small letters, no line ends."""
    return " ".join(text.lower().split())


def by_dictionary(texts: list[str], ids: dict[str, int], limit: int) -> tuple[np.ndarray, np.ndarray]:
    """What the static graph does, as a loop in Python."""
    found = [[ids.get(word, UNKNOWN) for word in text.split(" ")[:limit]] for text in texts]
    return np.array([word for review in found for word in review], np.int32), np.array([len(one) for one in found])


def texts_of(stage: str, splits: Iterable[str]) -> list[str]:
    """The texts that a stage wrote."""
    return [text for split in splits for text in pd.read_parquet(f"data/{stage}/{split}.parquet").text]


def vocabulary() -> list[str]:
    """The words that the model knows."""
    return Path("data/encode/vocabulary.txt").read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    main()
