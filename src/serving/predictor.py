"""Predict the ratings of reviews with an exported model, without TensorFlow and PyTorch."""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import file_digest
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self, get_args

import numpy as np
from pydantic import Field, ValidationError, model_validator

from src.core.errors import UserError, fail_alone
from src.core.files import require_file
from src.core.params import Clean, Decision, Language, Section, TableLanguage
from src.core.schema import read_text, text_problem
from src.evaluation.decisions import decide
from src.evaluation.occlusion import effects_in_parts, word_effects
from src.text.cleaning import Cleaners
from src.text.encoded import EncodedReviews, pad
from src.text.vocabulary import FIRST_WORD, UNKNOWN, read_vocabulary, word_ids
from src.text.words import StopWords

# ONNX Runtime sends usage data to Microsoft unless this is set before its import; see its Privacy.md.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

EXPORTED_MODEL = Path("models/export")
DESCRIPTION, NETWORK, VOCABULARY = "export.json", "model.onnx", "vocabulary.txt"
NO_WORD, NO_KNOWN_WORD = "no word is left after cleaning", "the model knows none of its words"
"""Reasons of texts that are not rated."""
BATCH_SIZE = 16
"""Reviews per batch; larger batches take as long per review."""
BATCH_WORDS = 4096
"""Words per batch, padding included, however long the reviews are: the states of these words take 30 MB."""

PART_WORDS = 2 * BATCH_WORDS
"""Words of a part of an explanation."""


class ModelDescription(Section):
    """What prediction needs beside the network and the vocabulary, and what the model was made from.

    text_column, missing, header: how the table that it was trained on is read, as in the section data of params.yaml.
    prior: the class prior of the train split. files: MD5 of the network and the vocabulary. made_from: MD5 of the
    files that they were made from, as in DVC.
    """

    text_column: str | list[str]
    missing: list[str]
    header: bool
    language: TableLanguage
    clean: Clean
    stop_words: dict[Language, list[str]]
    kept_words: dict[Language, list[str]]
    max_length: Annotated[int, Field(ge=1)]
    stars: list[int]
    decision: Decision
    prior: list[float]
    files: dict[str, str]
    made_from: dict[str, str]
    params: dict[str, Any]
    versions: dict[str, str]

    @model_validator(mode="after")
    def check(self) -> Self:
        """Check what the types do not say."""
        if not self.stars or self.stars != sorted(set(self.stars)):
            raise ValueError("stars: not in ascending order")
        if len(self.prior) != len(self.stars) or not np.isclose(sum(self.prior), 1) or min(self.prior) <= 0:
            raise ValueError("prior: not a positive share for each of the stars")
        languages = set(get_args(Language)) if self.language == "mixed" else {self.language}
        if not languages <= self.stop_words.keys() & self.kept_words.keys():
            raise ValueError("stop_words, kept_words: a language is missing")
        if not {NETWORK, VOCABULARY} <= set(self.files):
            raise ValueError(f"files: {NETWORK} or {VOCABULARY} is missing")
        return self

    def find_words(self, language: Language) -> StopWords:
        """Return the listed words of a language."""
        return StopWords(frozenset(self.stop_words[language]), frozenset(self.kept_words[language]))

    @property
    def text_columns(self) -> list[str]:
        """The columns with the parts of a text."""
        return [self.text_column] if isinstance(self.text_column, str) else self.text_column


class Predictions(NamedTuple):
    """The predictions for some texts. If a text cannot be rated, `reasons` says why, and it has NaN and 0 stars.

    probabilities: float64 [texts, classes]. predicted: int64 [texts], stars. expected: float64 [texts], mean stars.
    word_count, known_words: int64 [texts], how many words the model reads of a text, and how many of them it knows.
    """

    probabilities: np.ndarray
    predicted: np.ndarray
    expected: np.ndarray
    word_count: np.ndarray
    known_words: np.ndarray
    reasons: list[str | None]


class _Cleaned(NamedTuple):
    """Cleaned texts, each once: as word ids, and for each text its position among them and its counts of words."""

    reviews: EncodedReviews
    positions: np.ndarray
    word_count: np.ndarray
    known_words: np.ndarray


class Predictor:
    """An exported model. The batch that a text is in affects only the last digits of its probabilities."""

    def __init__(self, folder: Path) -> None:
        """Load the folder that the stage `export` wrote.

        Raises:
            UserError: there is no exported model, or its files do not belong together.
        """
        self.description = _read_description(folder)
        self.version = md5(folder / DESCRIPTION)
        self.stars = np.array(self.description.stars)
        cleaners = Cleaners(self.description.clean, self.description.find_words)
        self.clean = cleaners.for_table(self.description.language)
        self.words = read_vocabulary(folder / VOCABULARY)
        self._word_ids = _WordIds(word_ids(self.words))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it would keep the memory of the largest batch
        self._session = _open_network(folder, options)
        self._check()

    def _check(self) -> None:
        """Predict once, from the last word of the vocabulary: parts that do not fit must not be found by a client."""
        try:
            last = np.array([len(self.words) + FIRST_WORD - 1], np.int32)
            self.predict_encoded(EncodedReviews(last, np.array([0, 1]), np.zeros(1, np.int64)))
        except Exception:
            raise UserError("the exported model: its parts do not fit together; run dvc repro export") from None

    def predict(self, cells: Sequence[Any]) -> Predictions:
        """Predict the ratings for the cells of a text column.

        A text without a known word gets a reason instead, and so does one that fails, without harm to the others.
        """
        return fail_alone(self._predict, cells, self._failed, _join)

    def _predict(self, cells: Sequence[Any]) -> Predictions:
        cleaned, reasons = self._read(cells)
        rated = np.array([reason is None for reason in reasons], bool)
        probabilities = np.full((len(reasons), len(self.stars)), np.nan)
        probabilities[rated] = self.predict_encoded(cleaned.reviews)[cleaned.positions[rated]]
        predicted = np.zeros(len(reasons), np.int64)
        predicted[rated] = self.stars[
            decide(probabilities[rated], self.description.decision, np.array(self.description.prior))
        ]
        expected = probabilities @ self.stars
        return Predictions(probabilities, predicted, expected, cleaned.word_count, cleaned.known_words, reasons)

    def reasons(self, cells: Sequence[Any]) -> list[str | None]:
        """Return for each cell why it cannot be rated, None if it can."""
        return fail_alone(lambda cells: self._read(cells)[1], cells, lambda error: [_failure(error)], list.__add__)

    def _failed(self, error: Exception) -> Predictions:
        unknown, zero = np.full((1, len(self.stars)), np.nan), np.zeros(1, np.int64)
        return Predictions(unknown, zero, unknown[:, 0], zero, zero, [_failure(error)])

    def _read(self, cells: Sequence[Any]) -> tuple[_Cleaned, list[str | None]]:
        texts = [read_text(cell) for cell in cells]
        cleaned = self._clean_distinct([text or "" for text in texts])
        reasons = [text_problem(text) for text in texts]
        for row in np.flatnonzero(cleaned.known_words == 0):
            reasons[row] = reasons[row] or (NO_KNOWN_WORD if cleaned.word_count[row] else NO_WORD)
        return cleaned, reasons

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Return float64 [texts, classes]. Texts that are equal after cleaning are predicted once."""
        cleaned = self._clean_distinct(texts)
        return self.predict_encoded(cleaned.reviews)[cleaned.positions]

    def _clean_distinct(self, texts: Sequence[str]) -> _Cleaned:
        distinct: dict[str, int] = {}
        positions = np.array([distinct.setdefault(self.clean(text), len(distinct)) for text in texts], np.int64)
        reviews = self._encode_cleaned(distinct)
        known = np.concatenate([[0], np.cumsum(reviews.ids != UNKNOWN)])[reviews.offsets]
        word_count = reviews.lengths.copy()
        if "" in distinct:
            word_count[distinct[""]] = 0
        return _Cleaned(reviews, positions, word_count[positions], np.diff(known)[positions])

    def encode(self, texts: Sequence[str]) -> EncodedReviews:
        """Clean texts and turn them into word ids, the same as the TensorFlow graph's; the labels are all 0."""
        return self._encode_cleaned(map(self.clean, texts))

    def _encode_cleaned(self, texts: Iterable[str]) -> EncodedReviews:
        # A text without words splits into one empty word, which is unknown: as in the graph.
        words = [text.split(" ")[: self.description.max_length] for text in texts]
        ids = np.fromiter(map(self._word_ids.__getitem__, chain.from_iterable(words)), np.int32)
        return EncodedReviews(ids, np.cumsum([0, *map(len, words)]), np.zeros(len(words), np.int64))

    def predict_encoded(self, reviews: EncodedReviews, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Return float64 [reviews, classes]."""
        probabilities = np.empty((len(reviews.labels), len(self.stars)))
        for batch in _batches(reviews.lengths, batch_size):
            (probabilities[batch],) = self._session.run(None, {"ids": pad(reviews, batch)[0]})
        return probabilities

    def explain(self, texts: Sequence[str]) -> Iterator[list[tuple[str, float]]]:
        """Return the known words of each text with their effects in stars (see word_effects), largest first."""
        effects: list[list[tuple[int, float]]] = [[] for _ in texts]
        for row, word, effect in word_effects(self.encode(texts), np.arange(len(texts)), self._expected_rating):
            effects[row].append((word, effect))
        return map(self._named, effects)

    def explain_in_parts(self, text: str) -> Iterator[list[tuple[str, float]] | None]:
        """Explain a text as `explain` does, and yield None after each part of the work, which takes some 30 ms."""
        ids = self.encode([text]).ids
        for effects in effects_in_parts(ids, self._expected_rating, PART_WORDS):
            yield None if effects is None else self._named(effects)

    def _named(self, effects: list[tuple[int, float]]) -> list[tuple[str, float]]:
        named = [(self.words[word - FIRST_WORD], effect) for word, effect in effects]
        return sorted(named, key=lambda pair: (-abs(pair[1]), pair[0]))

    def _expected_rating(self, reviews: EncodedReviews) -> np.ndarray:
        return self.predict_encoded(reviews) @ self.stars


def _failure(error: Exception) -> str:
    return f"cannot be read ({type(error).__name__})"  # its message may quote the text


def _join(first: Predictions, second: Predictions) -> Predictions:
    return Predictions(
        np.concatenate([first.probabilities, second.probabilities]),
        np.concatenate([first.predicted, second.predicted]),
        np.concatenate([first.expected, second.expected]),
        np.concatenate([first.word_count, second.word_count]),
        np.concatenate([first.known_words, second.known_words]),
        first.reasons + second.reasons,
    )


@lru_cache(maxsize=1)
def cached_predictor(folder: Path, work: str) -> Predictor:
    """Load a model, or return the last one if `work`, which identifies its content, has not changed."""
    return Predictor(folder)


class _WordIds(dict[str, int]):
    def __missing__(self, word: str) -> int:
        return UNKNOWN


def _batches(lengths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Cut reviews into batches of similar length, shortest first; only a single review may exceed BATCH_WORDS.

    ONNX Runtime computes the padding too, so a batch ends where a longer review would add too much of it.
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        candidates = lengths[order[start : start + batch_size]]
        candidates = candidates[candidates <= 1.25 * candidates[0] + 4]
        size = max(1, min(len(candidates), BATCH_WORDS // candidates[-1]))
        yield order[start : start + size]
        start += size


def _read_description(folder: Path) -> ModelDescription:
    path = folder / DESCRIPTION
    require_file(path)
    try:
        description = ModelDescription.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run dvc repro export to make it, or dvc pull to fetch it") from None
    except ValidationError as errors:
        reason = errors.errors()[0]["msg"]
        raise UserError(f"{path}: does not describe an exported model ({reason}); run dvc repro export") from None
    for name, digest in description.files.items():
        if md5(folder / name) != digest:
            raise UserError(f"{folder / name}: not the file that {DESCRIPTION} describes; run dvc repro export")
    return description


def _open_network(folder: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(folder / NETWORK, options)
    except Exception:  # the types of errors differ by what is damaged
        raise UserError(f"{folder / NETWORK}: not a network; run dvc repro export") from None


def md5(path: Path) -> str:
    """Return the MD5 of a file, as in dvc.lock."""
    require_file(path)
    with path.open("rb") as file:
        return file_digest(file, "md5").hexdigest()
