"""Measure how fast each part is on one core, beside other ways of doing the same; write Markdown tables.

dvc repro evaluate export; OMP_NUM_THREADS=1 taskset -c 0 python -m benchmarks.speed --parts clean,encode --rounds 5
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # as TensorFlow comes; src.text.tokenizer would turn it off for Keras too
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import numpy as np
import pandas as pd
import tensorflow as tf
import torch
from nltk.stem.snowball import SnowballStemmer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from benchmarks.epochs import train
from benchmarks.peers import pretrained, teach_settings
from benchmarks.timing import Way, compare, timed
from src.core.errors import UserError
from src.core.files import read_json
from src.core.params import Params, read_params
from src.core.schema import SPLITS, STARS
from src.corpus.synthesis import synthesize
from src.learning.classification import predict
from src.learning.model import ReviewModel, load_model
from src.learning.teacher import Teacher
from src.serving.predictor import Predictor
from src.text.cleaning import make_cleaner
from src.text.encoded import EncodedReviews
from src.text.stop_words import find_stop_words
from src.text.tokenizer import Tokenizer
from src.text.vocabulary import FIRST_WORD, UNKNOWN, read_vocabulary
from stages.synthesize import read_clauses

EXPORTED = Path("models/export")
FILE_REVIEWS, FILE_SEED = 100_000, 2
TRANSFORMER_TEXTS = 1000  # a transformer rates tens of them a second
BATCH_SIZES, BATCH_SIZE_TEXTS = (4, 8, 16, 32, 64), 250
PROCESSES = ("stages", "growth")  # measured from outside, by benchmarks.growth


def main() -> None:
    parts: dict[str, Callable[[Params, int], None]] = {"clean": clean, "encode": encode, "train": train, "score": score}
    parts |= {"transformer": transformer, "predict": predict_file}
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
    words = find_stop_words(params.data.language)
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
    texts = texts_of("prepare", SPLITS)
    model, shift = trained_model()
    words, limit = vocabulary(), params.encode.max_length
    ids = dict(zip(words, range(FIRST_WORD, FIRST_WORD + len(words)), strict=True))
    tokenizer = Tokenizer(words, limit)

    def ours(encoder: Callable[[list[str]], tuple[np.ndarray, np.ndarray]]) -> None:
        clean = make_cleaner(params.data.language, params.clean, find_stop_words(params.data.language))
        found, lengths = encoder(list(map(clean, texts)))
        predict(model, EncodedReviews(found, np.cumsum([0, *lengths]), np.zeros(len(texts), np.int64)), shift)

    exported = Predictor(EXPORTED)
    ways = {
        "ours, words to ids by a dictionary": timed(lambda: ours(lambda cleaned: by_dictionary(cleaned, ids, limit))),
        "ours, words to ids by the graph": timed(lambda: ours(tokenizer.encode)),
        "ours, exported": timed(lambda: exported.predict(texts)),
    }
    ways |= {name: way if isinstance(way, str) else timed(partial(way, texts)) for name, way in peers(params).items()}
    compare("score raw text (target: 5,000 a second)", "reviews", len(texts), ways, rounds)


def transformer(params: Params, rounds: int) -> None:
    """From raw texts to probabilities: the LSTM, exported and in PyTorch, and the transformer of the stage teach.

    Each has its best batch size, and batches of similar length. Predictor.predict_proba rates texts once that are equal
    after cleaning, so no two texts here are. The transformer is not fine-tuned, which does not change its speed.
    """
    exported = Predictor(EXPORTED)
    distinct = {exported.clean(text): text for text in texts_of("prepare", ("test",))}
    texts = list(distinct.values())[:TRANSFORMER_TEXTS]
    model, shift = trained_model()

    def by_transformer(teacher: Teacher, texts: list[str], size: int) -> np.ndarray:
        return predict(teacher, teacher.encode(texts), np.zeros(len(STARS)), size)

    sized: dict[str, Callable[[list[str], int], np.ndarray]] = {
        "LSTM, exported": lambda texts, size: exported.predict_encoded(exported.encode(texts), size),
        "LSTM, PyTorch": lambda texts, size: predict(model, exported.encode(texts), shift, size),
    }
    missing: dict[str, Way | str] = {}
    settings = teach_settings(params).model_copy(update={"precision": "float32"})  # of the weights, set below
    for dtype in (torch.float32, torch.bfloat16):
        name = f"{settings.model}, {str(dtype).removeprefix('torch.')}"
        try:
            sized[name] = partial(by_transformer, pretrained(settings).to(dtype))
        except UserError as error:
            missing[name] = str(error)
    ways: dict[str, Way | str] = {}
    for name, way in sized.items():
        size = best_batch_size(way, texts[:BATCH_SIZE_TEXTS])
        ways[f"{name}, batches of {size}"] = timed(partial(way, texts, size))
    words = np.mean([len(text.split()) for text in texts])
    title = (
        f"LSTM and transformer (texts of {words:.0f} words; last column: how many times as fast the exported LSTM is)"
    )
    compare(title, "texts", len(texts), ways | missing, rounds)


def best_batch_size(way: Callable[[list[str], int], Any], texts: list[str]) -> int:
    """The batch size with which a way takes the least time; sizes in turn, without a first run, which fills caches."""
    way(texts, BATCH_SIZES[0])
    seconds = [[timed(partial(way, texts, size))() for size in BATCH_SIZES] for _ in range(3)]
    return BATCH_SIZES[int(np.min(seconds, axis=0).argmin())]


def trained_model() -> tuple[ReviewModel, np.ndarray]:
    """Load the model of the stage train, and its prior correction, float64 [classes]."""
    shift = np.array(read_json(Path("data/resample/log_prior_shift.json")))
    return load_model(Path("models/train"), len(shift)), shift


def predict_file(params: Params, rounds: int) -> None:
    """From a CSV file of new reviews to one with their stars: the command, and peers by pandas."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "reviews.csv"), Path(folder, "scored.csv")
        pd.DataFrame(synthesize(read_clauses(), FILE_REVIEWS, FILE_SEED)).to_csv(source, index=False)

        def command() -> None:
            arguments = [sys.executable, "-m", "commands.predict", str(source), "--output", str(target)]
            subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)

        def by_pandas(probabilities: Callable[[list[str]], Any]) -> None:
            table = pd.read_csv(source)
            found = probabilities(table[params.data.text_column].fillna("").tolist())
            table.assign(**{f"p{star}": share for star, share in zip(STARS, np.transpose(found), strict=True)}).to_csv(
                target, index=False
            )

        ways: dict[str, Way | str] = {"ours, python -m commands.predict": timed(command)}
        for name, way in peers(params).items():
            ways[name] = way if isinstance(way, str) else timed(partial(by_pandas, way))
        compare("predict a file (target: 10,000 a second)", "reviews", FILE_REVIEWS, ways, rounds)


def peers(params: Params) -> dict[str, Callable[[list[str]], Any] | str]:
    """What other methods, taught by the same reviews, do with raw texts: a number for each of them and each star."""
    seen = texts_of("prepare", ("train",))
    stars = pd.read_parquet("data/prepare/train.parquet", columns=["rating"]).rating.to_numpy()
    settings = params.baseline
    vectorizer = TfidfVectorizer(ngram_range=(1, settings.ngrams), min_df=settings.min_count, sublinear_tf=True)
    regression = LogisticRegression(C=1.0, max_iter=1000).fit(vectorizer.fit_transform(seen), stars)
    return {
        "TF-IDF + logistic regression": lambda texts: regression.predict_proba(vectorizer.transform(texts)),
        "fastText, words and pairs of words": fasttext_way(seen, stars),
    }


def fasttext_way(seen: list[str], stars: Iterable[int]) -> Callable[[list[str]], Any] | str:
    """Train fastText; it says the probabilities of all stars, the largest first."""
    try:
        import fasttext
    except ImportError:
        return "fasttext is not installed"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        lines = (f"__label__{star} {one_line(text)}\n" for star, text in zip(stars, seen, strict=True))
        path.write_text("".join(lines), encoding="utf-8")
        model = fasttext.train_supervised(str(path), wordNgrams=2, epoch=10, thread=1, verbose=0)
    return lambda texts: model.predict([one_line(text) for text in texts], k=len(STARS))[1]


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
    return read_vocabulary(Path("data/encode/vocabulary.txt"))


if __name__ == "__main__":
    main()
