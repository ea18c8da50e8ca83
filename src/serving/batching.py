"""Predict for many clients in one thread: the reviews that arrive during one batch form the next."""

import asyncio
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, chain, islice

from pydantic import BaseModel

from src.serving.fair_queue import FairQueue
from src.serving.predictor import Predictor

DIGITS = 6
SLICE = 8_000
"""Characters of a slice; hostile ones take 60 ms of one core, others 5 to 10."""
TEXT = 100
"""Characters that the work for a text equals, beside its own."""


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


class _Job:
    """The work for a request, done in slices: `done` texts have their predictions."""

    def __init__(self, texts: Sequence[str | None], explain: bool) -> None:
        self.texts, self.explain, self.size = texts, explain, _size(texts)
        self.result: asyncio.Future[list[ReviewPrediction]] = asyncio.get_running_loop().create_future()
        self.predictions: list[ReviewPrediction] = []
        self.effects: Iterator[list[tuple[str, float]] | None] | None = None

    def rest(self) -> Sequence[str | None]:
        """Return the texts without predictions."""
        return self.texts[len(self.predictions) :]


class Batcher:
    """Runs all predictions in one thread, in slices of some 50 ms, so that no request waits long for another.

    In turn come a batch of small requests, a slice of a large one, and a slice of an explanation, each from the client
    whose turn it is. A request whose client no longer waits is dropped between two slices.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._small, self._large, self._explained = FairQueue[_Job](), FairQueue[_Job](), FairQueue[_Job]()
        self._arrived = asyncio.Event()

    async def predict(self, texts: Sequence[str | None], explain: bool, client: Hashable) -> list[ReviewPrediction]:
        """Predict the ratings of some texts. client: whose turn it takes."""
        job = _Job(texts, explain)
        queue = self._explained if explain else self._small if job.size <= SLICE // 4 else self._large
        queue.put(client, job)
        self._arrived.set()
        return await job.result

    async def run(self) -> None:
        """Process jobs until cancelled."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as thread:
            while True:
                await self._arrived.wait()
                for queue in (self._small, self._large, self._explained):
                    if slices := _take(queue, SLICE if queue is self._small else 1):
                        work = _explain if queue is self._explained else _predict
                        finished = await loop.run_in_executor(thread, _tried, work, self._predictor, slices)
                        for (client, job), error in zip(slices, finished, strict=True):
                            _conclude(queue, client, job, error)
                if not (self._small or self._large or self._explained):
                    self._arrived.clear()


_Slices = list[tuple[Hashable, _Job]]
_Outcome = Exception | bool
"""An error, or whether a job is done."""


def _size(texts: Sequence[str | None]) -> int:
    return sum(TEXT + len(text or "") for text in texts)


def _take(queue: FairQueue[_Job], size: int) -> _Slices:
    """Take jobs for which a client waits until they have a size; at least one, if there is one."""
    taken: _Slices = []
    while queue and size > 0:
        client, job = queue.take()
        if not job.result.done():
            taken.append((client, job))
            size -= job.size
    return taken


def _tried(
    work: Callable[[Predictor, _Slices], Sequence[_Outcome]], predictor: Predictor, slices: _Slices
) -> Sequence[_Outcome]:
    try:
        return work(predictor, slices)
    except Exception as error:
        return [error] * len(slices)


def _conclude(queue: FairQueue[_Job], client: Hashable, job: _Job, outcome: _Outcome) -> None:
    """Give a job its result, or put it back if there is more to do."""
    if job.result.done():
        return
    if isinstance(outcome, Exception):
        job.result.set_exception(outcome)
    elif outcome:
        job.result.set_result(job.predictions)
    else:
        queue.put_back(client, job)


def _predict(predictor: Predictor, slices: _Slices) -> Sequence[bool]:
    """Predict the next texts of some jobs, as many of a single one as a slice holds."""
    parts = [job.rest() for _, job in slices]
    if len(parts) == 1:
        sizes = accumulate(TEXT + len(text or "") for text in parts[0])
        parts = [parts[0][: max(1, sum(size <= SLICE for size in sizes))]]
    predictions = iter(predict_reviews(predictor, list(chain.from_iterable(parts))))
    for (_, job), part in zip(slices, parts, strict=True):
        job.predictions += islice(predictions, len(part))
    return [not job.rest() for _, job in slices]


def _explain(predictor: Predictor, slices: _Slices) -> Sequence[bool]:
    """Do a part of an explanation: its prediction, or the effects of some words."""
    ((_, job),) = slices
    (text,) = job.texts
    if job.effects is None:
        job.predictions = predict_reviews(predictor, job.texts)
        if not text or job.predictions[0].reason is not None:
            return [True]
        job.effects = predictor.explain_in_parts(text)
    effects = next(job.effects)
    if effects is not None:
        job.predictions[0].words = [WordEffect(word=word, effect=round(effect, DIGITS)) for word, effect in effects]
    return [effects is not None]


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
