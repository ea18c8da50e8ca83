"""One thread that scores for many clients: what gathers while it works is its next batch."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple

from pydantic import BaseModel

from src.serving.predictor import Predictor

DIGITS = 6
GATHERED = 32
"""Reviews after which the thread begins, though more wait."""


class WordEffect(BaseModel):
    """A word as the cleaner writes it, and how many stars more are expected than without it."""

    word: str
    effect: float


class ReviewPrediction(BaseModel):
    """What the model says of a review; of one that cannot be used, `reason` says why, and the rest is null.

    probabilities: of each number of stars. expected: their mean. words: those that the model knows, the most first.
    """

    predicted: int | None = None
    probabilities: dict[str, float] | None = None
    expected: float | None = None
    words: list[WordEffect] | None = None
    reason: str | None = None


class _Job(NamedTuple):
    texts: Sequence[str | None]
    explain: bool
    answer: asyncio.Future[list[ReviewPrediction]]


class Batcher:
    """Scores what has gathered, in one thread: one reads the model, and the service answers meanwhile."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()

    async def predict(self, texts: Sequence[str | None], explain: bool) -> list[ReviewPrediction]:
        """Rate some texts; who stops waiting before their turn costs nothing more."""
        job = _Job(texts, explain, asyncio.get_running_loop().create_future())
        self._jobs.put_nowait(job)
        return await job.answer

    async def work(self) -> None:
        """Rate for ever."""
        with ThreadPoolExecutor(1) as thread:
            while True:
                jobs = [await self._jobs.get()]
                while sum(len(job.texts) for job in jobs) < GATHERED and not self._jobs.empty():
                    jobs.append(self._jobs.get_nowait())
                jobs = [job for job in jobs if not job.answer.done()]
                try:
                    ratings = await asyncio.get_running_loop().run_in_executor(thread, self._predict, jobs)
                except Exception as error:
                    for job in jobs:
                        if not job.answer.done():
                            job.answer.set_exception(error)
                    continue
                for job, its in zip(jobs, ratings, strict=True):
                    if not job.answer.done():
                        job.answer.set_result(its)

    def _predict(self, jobs: list[_Job]) -> list[list[ReviewPrediction]]:
        ratings = iter(predict_reviews(self._predictor, list(chain.from_iterable(job.texts for job in jobs))))
        found = [[next(ratings) for _ in job.texts] for job in jobs]
        for job, its in zip(jobs, found, strict=True):
            if job.explain:
                explain(self._predictor, job.texts, its)
        return found


def predict_reviews(predictor: Predictor, texts: Sequence[str | None]) -> list[ReviewPrediction]:
    """Say the stars of some texts."""
    predictions = predictor.predict(texts)
    stars = [str(star) for star in predictor.stars]
    return [
        ReviewPrediction(predicted=predicted, probabilities=dict(zip(stars, shares, strict=True)), expected=expected)
        if reason is None
        else ReviewPrediction(reason=reason)
        for reason, predicted, shares, expected in zip(
            predictions.reasons,
            predictions.predicted.tolist(),
            predictions.probabilities.round(DIGITS).tolist(),
            predictions.expected.round(DIGITS).tolist(),
            strict=True,
        )
    ]


def explain(predictor: Predictor, texts: Sequence[str | None], ratings: Sequence[ReviewPrediction]) -> None:
    """Add to the ratings of some texts the words that moved them."""
    for text, rating in zip(texts, ratings, strict=True):
        if text and rating.reason is None:
            (effects,) = predictor.explain([text])
            rating.words = [WordEffect(word=word, effect=round(effect, DIGITS)) for word, effect in effects]
