import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.serving.batching import SLICE, Batcher, predict_reviews
from src.serving.fair_queue import FairQueue
from src.serving.predictor import Predictor

JOBS = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 4)), max_size=30)


@given(JOBS)
def test_each_client_has_its_turn_and_keeps_its_order(jobs):
    """Jobs have a client and a number of slices; a job that is not finished is put back."""
    queue, numbers, left = FairQueue(), count(), {}
    for client, slices in jobs:
        number = next(numbers)
        left[number] = slices
        queue.put(client, number)
    taken = []
    while queue:
        client, number = queue.take()
        taken.append((client, number))
        left[number] -= 1
        if left[number]:
            queue.put_back(client, number)
    assert len(taken) == sum(slices for _, slices in jobs)
    for client in set(dict(jobs)):
        own = [number for each, number in taken if each == client]
        assert own == sorted(own)
        turns = [place for place, (each, _) in enumerate(taken) if each == client]
        for first, second in pairwise(turns):
            between = [each for each, _ in taken[first + 1 : second]]
            assert len(between) == len(set(between))  # nobody else has two turns in between


def in_a_loop(coroutine):
    """Run it in a thread: the tests of pages, if they come first, leave a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


@pytest.fixture(scope="module")
def predictor(project):
    return Predictor(project.path / "models/export")


def test_a_batcher_answers_as_the_predictor_does(predictor):
    """Small, large and explained requests of several clients at once, with texts that cannot be rated among them."""
    texts = ["great app but it crashes", None, "", "bad " * 3000, "love it " * 90, "qqqq"]
    requests = [([text], explain) for text in texts for explain in (False, True)] + [(texts * 30, False)]

    async def run():
        batcher = Batcher(predictor)
        worker = asyncio.create_task(batcher.run())
        results = await asyncio.gather(
            *(batcher.predict(each, explain, number % 3) for number, (each, explain) in enumerate(requests))
        )
        worker.cancel()
        return results

    for (asked, explain), answered in zip(requests, in_a_loop(run()), strict=True):
        expected = predict_reviews(predictor, asked)
        assert [each.predicted for each in answered] == [each.predicted for each in expected]
        assert [each.reason for each in answered] == [each.reason for each in expected]
        for each, other in zip(answered, expected, strict=True):
            assert each.probabilities == pytest.approx(other.probabilities, abs=2e-6)
            if explain and each.reason is None:
                (effects,) = predictor.explain(asked)
                assert {effect.word: effect.effect for effect in each.words} == pytest.approx(dict(effects), abs=2e-6)
            else:
                assert each.words is None


def test_small_requests_do_not_wait_for_large_ones(predictor):
    """Twenty clients ask for explanations, twenty for lists; a small request is answered before any of them."""

    async def run():
        batcher, order = Batcher(predictor), []
        worker = asyncio.create_task(batcher.run())

        async def ask(name, texts, explain=False):
            await batcher.predict(texts, explain, name)
            order.append(name)

        words = " ".join(predictor.words[:300])
        tasks = [asyncio.create_task(ask(f"explain {number}", [words], explain=True)) for number in range(20)]
        tasks += [asyncio.create_task(ask(f"list {number}", ["x" * SLICE] * 5)) for number in range(20)]
        await asyncio.sleep(0)
        await ask("small", ["good"])
        for task in [*tasks, worker]:
            task.cancel()
        return order

    assert in_a_loop(run()) == ["small"]
