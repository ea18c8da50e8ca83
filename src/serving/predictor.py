"""Stars for reviews by an exported model, without TensorFlow and PyTorch."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import file_digest
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import onnxruntime
from pydantic import Field, ValidationError

from src.core.errors import UserError
from src.core.params import Clean, Decision, Language, Section
from src.core.schema import read_text, text_problem
from src.evaluation.decisions import decide
from src.evaluation.occlusion import word_effects
from src.text.cleaning import StopWords, make_cleaner
from src.text.encoded import EncodedReviews, pad
from src.text.vocabulary import FIRST_WORD, UNKNOWN

EXPORTED_MODEL = Path("models/export")
DESCRIPTION, NETWORK, VOCABULARY = "export.json", "model.onnx", "vocabulary.txt"
BATCH_SIZE = 16
"""Reviews of a batch: with more of them each takes as long."""
BATCH_WORDS = 4096
"""Words of a batch, padding included, however long its reviews are: the states of these words take 30 MB."""


class ModelDescription(Section):
    """What a model needs beside its network and its vocabulary, and what it was made from.

    prior: the class shares of the train split. files: the MD5 of network and vocabulary; made_from: that of what they
    come from, as DVC knows it.
    """

    text_column: str
    language: Language
    clean: Clean
    stop_words: list[str]
    kept_words: list[str]
    max_length: Annotated[int, Field(ge=1)]
    stars: list[int]
    decision: Decision
    prior: list[float]
    files: dict[str, str]
    made_from: dict[str, str]
    params: dict[str, Any]
    versions: dict[str, str]


class Predictions(NamedTuple):
    """What a model says of some texts; of a text that cannot be used, `reasons` says why, and the rest is NaN or 0.

    probabilities: float64 [texts, classes]. predicted: int64 [texts], stars. expected: float64 [texts], mean stars.
    """

    probabilities: np.ndarray
    predicted: np.ndarray
    expected: np.ndarray
    reasons: list[str | None]


class Predictor:
    """An exported model; what it says of a text depends on its company in the last digits alone."""

    def __init__(self, folder: Path) -> None:
        """Load what the stage `export` wrote.

        Raises:
            UserError: there is no such model, or its files do not belong together.
        """
        self.description = _read_description(folder)
        self.version = md5(folder / DESCRIPTION)
        self.stars = np.array(self.description.stars)
        lists = StopWords(frozenset(self.description.stop_words), frozenset(self.description.kept_words))
        self.clean = make_cleaner(self.description.language, self.description.clean, lists)
        self.words = (folder / VOCABULARY).read_text(encoding="utf-8").splitlines()
        self._ids = _Ids(zip(self.words, range(FIRST_WORD, FIRST_WORD + len(self.words)), strict=True))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(folder / NETWORK, options)

    def predict(self, cells: Sequence[Any]) -> Predictions:
        """Say the stars for what stands in some cells, texts or not."""
        texts = [read_text(cell) for cell in cells]
        reasons = [text_problem(text) for text in texts]
        usable = np.array([problem is None for problem in reasons], bool)
        probabilities = np.full((len(texts), len(self.stars)), np.nan)
        probabilities[usable] = self.predict_proba([text for text in texts if text])
        predicted = np.zeros(len(texts), np.int64)
        predicted[usable] = self.stars[
            decide(probabilities[usable], self.description.decision, np.array(self.description.prior))
        ]
        return Predictions(probabilities, predicted, probabilities @ self.stars, reasons)

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Give the probabilities of each class, float64 [texts, classes]; what is clean alike is read once."""
        different: dict[str, int] = {}
        places = [different.setdefault(self.clean(text), len(different)) for text in texts]
        return self.predict_encoded(self._encode(different))[places]

    def explain(self, texts: Sequence[str]) -> Iterator[list[tuple[str, float]]]:
        """For each text its known words and how many stars each moves, as occlusion has it; the most first."""
        effects: list[list[tuple[str, float]]] = [[] for _ in texts]
        for row, word, effect in word_effects(self.encode(texts), np.arange(len(texts)), self._expected):
            effects[row].append((self.words[word - FIRST_WORD], effect))
        return (sorted(each, key=lambda pair: (-abs(pair[1]), pair[0])) for each in effects)

    def encode(self, texts: Sequence[str]) -> EncodedReviews:
        """Clean texts and give them as word ids, those of the TensorFlow graph; the labels say nothing."""
        return self._encode(map(self.clean, texts))

    def predict_encoded(self, reviews: EncodedReviews, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Give the probabilities of each class, float64 [reviews, classes]."""
        probabilities = np.empty((len(reviews.labels), len(self.stars)))
        for batch in _batches(reviews.lengths, batch_size):
            (probabilities[batch],) = self._session.run(None, {"ids": pad(reviews, batch)[0]})
        return probabilities

    def _expected(self, reviews: EncodedReviews) -> np.ndarray:
        return self.predict_encoded(reviews) @ self.stars

    def _encode(self, cleaned: Iterable[str]) -> EncodedReviews:
        # A text without words splits into one empty word, which is unknown: as in the graph.
        words = [text.split(" ")[: self.description.max_length] for text in cleaned]
        ids = np.fromiter(map(self._ids.__getitem__, chain.from_iterable(words)), np.int32)
        return EncodedReviews(ids, np.cumsum([0, *map(len, words)]), np.zeros(len(words), np.int64))


class _Ids(dict[str, int]):
    def __missing__(self, word: str) -> int:
        return UNKNOWN


def md5(path: Path) -> str:
    """The MD5 of a file: by it DVC knows what it tracks."""
    with path.open("rb") as file:
        return file_digest(file, "md5").hexdigest()


def _read_description(folder: Path) -> ModelDescription:
    path = folder / DESCRIPTION
    try:
        description = ModelDescription.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; dvc repro export makes it, dvc pull fetches it") from None
    except ValidationError as errors:
        raise UserError(f"{path}: not the description of an exported model: {errors.errors()[0]['msg']}") from None
    for name, digest in description.files.items():
        if md5(folder / name) != digest:
            raise UserError(f"{folder / name}: not the file that {DESCRIPTION} describes; dvc repro export")
    return description


@lru_cache(maxsize=1)
def cached_predictor(model: Path, work: str) -> Predictor:
    """The model that the files share which one process scores; `work` names what lies there, should it change."""
    return Predictor(model)


def _batches(lengths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Cut reviews into batches of like length, in order of length, none of more than BATCH_WORDS words but by one.

    ONNX Runtime reads the padding too: a batch ends before a review that would fill the others with it.
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        near = lengths[order[start : start + batch_size]]
        near = near[near <= 1.25 * near[0] + 4]
        size = max(1, min(len(near), BATCH_WORDS // near[-1]))
        yield order[start : start + size]
        start += size
