"""Predict for many clients in one thread: the reviews that arrive during one batch form the next."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple

from pydantic import BaseModel

from src.serving.predictor import Predictor

DIGITS = 6
BATCH_REVIEWS = 32
"""A batch takes no further request once it holds this many reviews."""


class WordEffect(BaseModel):
    """A cleaned word, and how much it raises the expected rating compared with an unknown word, in stars."""

    word: str
    effect: float


class ReviewPrediction(BaseModel):
    """The prediction for a review. If the review cannot be rated, `reason` says why and the prediction is null.

    predicted, expected: stars. probabilities: of each rating. word_count, known_words: how many words the model reads
    of the review, and how many of them it knows. words: those that the model knows, largest effect first.
    """

    predicted: int | None = None
    probabilities: dict[str, float] | None = None
    expected: float | None = None
    word_count: int = 0
    known_words: int = 0
    words: list[WordEffect] | None = None
    reason: str | None = None


class _Job(NamedTuple):
    texts: Sequence[str | None]
    explain: bool
    result: asyncio.Future[list[ReviewPrediction]]


class Batcher:
    """Runs all predictions in one thread, so that the event loop stays free for requests."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()

    async def predict(self, texts: Sequence[str | None], explain: bool) -> list[ReviewPrediction]:
        """Predict the ratings of some texts; a call that is cancelled before its batch starts costs nothing more."""
        job = _Job(texts, explain, asyncio.get_running_loop().create_future())
        self._jobs.put_nowait(job)
        return await job.result

    async def run(self) -> None:
        """Process jobs until cancelled."""
        with ThreadPoolExecutor(1) as thread:
            while True:
                jobs = [await self._jobs.get()]
                while sum(len(job.texts) for job in jobs) < BATCH_REVIEWS and not self._jobs.empty():
                    jobs.append(self._jobs.get_nowait())
                jobs = [job for job in jobs if not job.result.done()]
                try:
                    results = await asyncio.get_running_loop().run_in_executor(thread, self._predict_jobs, jobs)
                except Exception as error:
                    for job in jobs:
                        if not job.result.done():
                            job.result.set_exception(error)
                    continue
                for job, predictions in zip(jobs, results, strict=True):
                    if not job.result.done():
                        job.result.set_result(predictions)

    def _predict_jobs(self, jobs: list[_Job]) -> list[list[ReviewPrediction]]:
        predictions = iter(predict_reviews(self._predictor, list(chain.from_iterable(job.texts for job in jobs))))
        results = [[next(predictions) for _ in job.texts] for job in jobs]
        for job, result in zip(jobs, results, strict=True):
            if job.explain:
                add_effects(self._predictor, job.texts, result)
        return results


def predict_reviews(predictor: Predictor, texts: Sequence[str | None]) -> list[ReviewPrediction]:
    """Predict the ratings of some texts."""
    predictions = predictor.predict(texts)
    stars = [str(star) for star in predictor.stars]
    counts = zip(predictions.word_count.tolist(), predictions.known_words.tolist(), strict=True)
    results = [
        ReviewPrediction(word_count=words, known_words=known, reason=reason)
        for (words, known), reason in zip(counts, predictions.reasons, strict=True)
    ]
    rows = zip(
        results,
        predictions.predicted.tolist(),
        predictions.probabilities.round(DIGITS).tolist(),
        predictions.expected.round(DIGITS).tolist(),
        strict=True,
    )
    for result, predicted, probabilities, expected in rows:
        if result.reason is None:
            result.predicted, result.expected = predicted, expected
            result.probabilities = dict(zip(stars, probabilities, strict=True))
    return results


def add_effects(predictor: Predictor, texts: Sequence[str | None], predictions: Sequence[ReviewPrediction]) -> None:
    """Add to each prediction the effects of the words of its text."""
    for text, prediction in zip(texts, predictions, strict=True):
        if text and prediction.reason is None:
            (effects,) = predictor.explain([text])
            prediction.words = [WordEffect(word=word, effect=round(effect, DIGITS)) for word, effect in effects]
