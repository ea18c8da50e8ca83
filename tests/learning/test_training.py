from functools import partial, partialmethod

import numpy as np
import pytest
import torch

from src.core.errors import UserError
from src.core.params import check_params
from src.evaluation.metrics import prediction_result
from src.learning.checkpoints import Checkpoint
from src.learning.classification import ClassificationTask, predict
from src.learning.model import ReviewModel
from src.learning.resampling import resample
from src.learning.training import be_deterministic, choose_device, fit
from src.text.encoded import SHARD, EncodedReviews, shuffled_batches
from tests.conftest import changed_params

NO_SHIFT = np.zeros(2)


def settings(**changes):
    keys = {
        "train.epochs": 12,
        "train.min_steps": 0,
        "train.lr": 0.01,
        "train.batch_size": 16,
        "train.patience": 12,
    } | changes
    small = {"model.embedding_dim": 16, "model.hidden_size": 16, "model.dropout": 0.1, "model.word_dropout": 0.0}
    return check_params(changed_params(small | keys), "params.yaml")


def order_decides(count, seed):
    """Reviews with the same words in both classes: in class 1, word 2 comes before word 3."""
    random = np.random.default_rng(seed)
    texts, labels = [], random.integers(2, size=count)
    for label in labels:
        text = random.integers(4, 9, random.integers(2, 12))
        first, second = np.sort(random.choice(len(text) + 1, 2, replace=False))
        pair = (2, 3) if label else (3, 2)
        texts.append(np.insert(np.insert(text, second, pair[1]), first, pair[0]))
    lengths = [len(text) for text in texts]
    return EncodedReviews(np.concatenate(texts).astype(np.int32), np.cumsum([0, *lengths]), labels)


class Nothing:
    """A checkpoint that saves nothing."""

    def save(self, tensors, numbers):
        pass

    def load(self):
        return None


def run(reviews, valid, params, seed=1, rows=None, shift=NO_SHIFT, checkpoint=None):
    be_deterministic(1)
    torch.manual_seed(seed)
    model = ReviewModel(params.model, words=9, classes=len(shift))
    epochs = []
    rows = np.arange(len(reviews.labels)) if rows is None else rows
    task = ClassificationTask(model, reviews, rows, valid, shift)
    best = fit(task, params.train, seed, epochs.append, checkpoint or Nothing())
    return model, best, epochs


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_it_learns_word_order(cell):
    reviews, unseen = order_decides(600, 1), order_decides(200, 2)
    model, best, epochs = run(reviews, unseen, settings(**{"model.cell": cell}))
    assert (predict(model, unseen, NO_SHIFT).argmax(axis=1) == unseen.labels).mean() > 0.95
    assert [epoch.number for epoch in epochs] == list(range(1, len(epochs) + 1))
    assert epochs[0].metrics["train/loss"] > best.metrics["train/loss"]


def test_training_stops_after_patience_and_keeps_the_best_epoch():
    reviews, valid = order_decides(60, 1), order_decides(200, 2)
    reviews = reviews._replace(labels=np.random.default_rng(0).integers(2, size=60))  # nothing to learn: random labels
    model, best, epochs = run(reviews, valid, settings(**{"train.patience": 2, "train.epochs": 40}))
    assert best.valid_loss == min(epoch.valid_loss for epoch in epochs)
    assert epochs[-1].number == best.number + 2
    assert prediction_result(predict(model, valid, NO_SHIFT), valid.labels).loss.mean() == pytest.approx(
        best.valid_loss, abs=1e-6
    )


def test_only_equal_seeds_give_equal_weights():
    reviews, valid = order_decides(100, 1), order_decides(50, 2)
    params = settings(**{"train.epochs": 2, "model.word_dropout": 0.2})
    one, same, other = (run(reviews, valid, params, seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["output.weight"], other["output.weight"])


def test_bfloat16_gives_a_similar_loss_and_float32_weights():
    reviews, valid = order_decides(200, 1), order_decides(50, 2)
    float32, bfloat16 = (
        run(reviews, valid, settings(**{"train.epochs": 3, "train.precision": precision}))
        for precision in ("float32", "bfloat16")
    )
    assert all(values.dtype == torch.float32 for values in bfloat16[0].state_dict().values())
    assert bfloat16[1].metrics["train/loss"] != float32[1].metrics["train/loss"]
    assert bfloat16[1].metrics["train/loss"] == pytest.approx(float32[1].metrics["train/loss"], rel=0.1)


def test_prediction_does_not_depend_on_the_order_of_the_reviews():
    reviews = order_decides(300, 1)
    model = ReviewModel(settings().model, words=9, classes=2)
    reversed_reviews = EncodedReviews(
        np.concatenate(
            [reviews.ids[a:b] for a, b in zip(reviews.offsets[-2::-1], reviews.offsets[:0:-1], strict=True)]
        ),
        np.cumsum([0, *reviews.lengths[::-1]]),
        reviews.labels[::-1],
    )
    np.testing.assert_allclose(
        predict(model, reversed_reviews, NO_SHIFT)[::-1], predict(model, reviews, NO_SHIFT), rtol=0, atol=1e-6
    )


def test_the_prior_shift_improves_the_log_loss_of_a_model_trained_on_balanced_classes():
    def rare_ones(count, seed):
        reviews = order_decides(count, seed)
        random = np.random.default_rng(seed)
        kept = np.flatnonzero((reviews.labels == 0) | (random.random(count) < 0.1))
        texts = [reviews.ids[reviews.offsets[i] : reviews.offsets[i + 1]] for i in kept]
        noise = random.random(len(kept)) < 0.05
        labels = np.where(noise, 1 - reviews.labels[kept], reviews.labels[kept])
        return EncodedReviews(np.concatenate(texts), np.cumsum([0, *map(len, texts)]), labels)

    reviews, valid, unseen = rare_ones(800, 1), rare_ones(400, 2), rare_ones(800, 3)
    params = settings(**{"resample.strategy": "over", "resample.amount": 1.0})
    balanced = resample(reviews.labels, 2, params.resample, seed=1)
    counts = np.bincount(reviews.labels[balanced.rows])
    assert counts[0] == counts[1]
    model, _, _ = run(reviews, valid, params, rows=balanced.rows, shift=balanced.log_prior_shift)
    corrected, raw = (
        prediction_result(predict(model, unseen, shift), unseen.labels).loss.mean()
        for shift in (balanced.log_prior_shift, NO_SHIFT)
    )
    assert corrected < raw - 0.02


class KilledError(Exception):
    pass


class KilledAfter(Checkpoint):
    """A checkpoint that kills the process after it was saved `saves` times."""

    def __init__(self, path, saves):
        super().__init__(path)
        self.left = saves

    def save(self, tensors, numbers):
        super().save(tensors, numbers)
        self.left -= 1
        if not self.left:
            raise KilledError


@pytest.mark.parametrize("saves", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("shard", [SHARD, 32])  # 100 rows in batches of 16: one shard, or four
def test_a_killed_training_continues_and_gives_the_same_weights(tmp_path, monkeypatch, saves, shard):
    monkeypatch.setattr("src.learning.training.shuffled_batches", partial(shuffled_batches, shard=shard))
    reviews, valid = order_decides(100, 1), order_decides(50, 2)
    keys = {"train.epochs": 3, "train.min_steps": 0, "train.checkpoint_steps": 3, "model.word_dropout": 0.2}
    params = settings(**keys)
    model, best, epochs = run(reviews, valid, params)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KilledError):
        run(reviews, valid, params, checkpoint=KilledAfter(path, saves))
    torch.manual_seed(99)
    resumed, resumed_best, resumed_epochs = run(reviews, valid, params, checkpoint=Checkpoint(path))
    assert (resumed_best, resumed_epochs) == (best, epochs)
    for name, values in model.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], values), name


def test_validation_in_parts_gives_the_same_metrics(monkeypatch):
    reviews = order_decides(300, 1)
    model = ReviewModel(settings().model, words=9, classes=2)
    task = ClassificationTask(model, reviews, np.arange(300), reviews, NO_SHIFT)
    whole = task.validate()
    monkeypatch.setattr(EncodedReviews, "parts", partialmethod(EncodedReviews.parts, size=70))
    assert task.validate() == pytest.approx(whole, rel=1e-6)


def test_a_loss_that_is_not_a_number_is_an_error_with_a_remedy():
    reviews = order_decides(100, 1)
    params = settings(**{"train.lr": 1e30, "train.max_grad_norm": 1e30})
    with pytest.raises(UserError, match=r"in epoch \d+, step \d+, .*lower lr"):
        run(reviews, reviews, params)


@pytest.mark.parametrize(("count", "epochs", "warmup"), [(1, 1, 0.5), (60, 1, 0.2), (20, 1, 0.5), (16, 10, 0.1)])
def test_a_schedule_with_few_steps_works(count, epochs, warmup):
    reviews = order_decides(count, 1)
    batch_size = 10 if count == 20 else 16
    params = settings(
        **{"train.epochs": epochs, "train.min_steps": 0, "train.warmup_ratio": warmup, "train.batch_size": batch_size}
    )
    assert np.isfinite(run(reviews, reviews, params)[1].valid_loss)


def test_auto_chooses_the_gpu_if_there_is_one():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu").type == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no CUDA device"):
            choose_device("cuda")


@pytest.mark.parametrize(("min_steps", "epochs"), [(0, 2), (16, 2), (17, 3), (40, 5)])
def test_a_small_table_takes_more_epochs(min_steps, epochs):
    reviews, valid = order_decides(128, 1), order_decides(32, 2)
    changes = {"train.epochs": 2, "train.min_steps": min_steps, "train.patience": 99}
    assert len(run(reviews, valid, settings(**changes))[2]) == epochs
