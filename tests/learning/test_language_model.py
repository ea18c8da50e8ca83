import numpy as np
import pytest
import torch

from src.learning.language_model import LanguageModel, LanguageModelTask
from src.learning.training import fit
from src.text.encoded import EncodedReviews
from tests.learning.test_training import Nothing

WORDS = 12


def pretrain_settings(make_params, **changes):
    keys = {"pretrain.epochs": 8, "pretrain.min_steps": 0, "pretrain.lr": 0.02, "pretrain.batch_size": 16}
    return make_params(keys | {"pretrain.dropout": 0.0, "pretrain.word_dropout": 0.0} | changes).pretrain


def build(settings):
    torch.manual_seed(1)
    return LanguageModel(settings, WORDS, embedding_dim=16)


def counting_reviews(count, seed):
    """Reviews that count 2, 3, ... 11, 2, 3, ...: each word determines the next word and the previous one."""
    random = np.random.default_rng(seed)
    texts = [2 + (np.arange(length) + random.integers(10)) % 10 for length in random.integers(1, 9, count)]
    return EncodedReviews(
        np.concatenate(texts).astype(np.int32), np.cumsum([0, *map(len, texts)]), np.zeros(count, int)
    )


def test_each_direction_predicts_every_word_but_the_first(make_params):
    """By hand: with weights of zero the probability of a word depends only on its bias."""
    network = build(pretrain_settings(make_params)).eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights.zero_()
        network.bias[5] = 2.0
    ids, lengths = torch.tensor([[4, 5, 6], [5, 0, 0]]), torch.tensor([3, 1])
    log_sum = np.log(WORDS - 1 + np.exp(2))
    assert network(ids, lengths).tolist() == pytest.approx([log_sum - 2, log_sum, log_sum - 2, log_sum])


def test_a_review_has_the_same_loss_alone_and_in_any_batch(make_params):
    network = build(pretrain_settings(make_params)).eval()
    ids, lengths = torch.tensor([[4, 5, 6, 7], [8, 9, 0, 0]]), torch.tensor([4, 2])
    together = network(ids, lengths)
    alone = network(ids[:1], lengths[:1]), network(ids[1:, :2], lengths[1:])
    expected = torch.cat([alone[0][:3], alone[1][:1], alone[0][3:], alone[1][1:]])
    torch.testing.assert_close(together, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("softmax_words", [WORDS, 4])
def test_it_learns_the_next_word_with_full_and_with_sampled_softmax(make_params, softmax_words):
    settings = pretrain_settings(make_params, **{"pretrain.softmax_words": softmax_words})
    task = LanguageModelTask(build(settings), counting_reviews(300, 1), counting_reviews(50, 2))
    before = task.validate()["valid/loss"]
    best = fit(task, settings, 1, lambda epoch: None, Nothing())
    assert before > 2
    assert best.valid_loss < 0.1


def test_the_sampled_softmax_is_right_on_average(make_params):
    """By hand: with weights of zero all 12 words are equally likely, whatever the size of the sample."""
    network = build(pretrain_settings(make_params, **{"pretrain.softmax_words": 3})).train()
    with torch.no_grad():
        for weights in network.parameters():
            weights.zero_()
    nll = network(torch.tensor([[4, 5, 6], [5, 0, 0]]), torch.tensor([3, 1]))
    assert nll.tolist() == pytest.approx([np.log(WORDS)] * 4)


def test_reviews_of_one_word_are_not_trained_on(make_params):
    one = EncodedReviews(np.array([2, 3], np.int32), np.array([0, 1, 2]), np.zeros(2, int))
    settings = pretrain_settings(make_params)
    for reviews, valid in ((one, counting_reviews(20, 1)), (counting_reviews(20, 1), one)):
        assert (
            fit(LanguageModelTask(build(settings), reviews, valid), settings, 1, lambda epoch: None, Nothing()) is None
        )
