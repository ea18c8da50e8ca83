import numpy as np
import pytest
import torch
from torch import nn

from src.core.params import Model
from src.learning.model import PAIR_FACTOR, PAIR_SCALE, WIDE_SCALE, ReviewModel, pair_rows, reverse

CELLS = ("lstm", "gru", "rnn")
POOLINGS = ("max_mean", "max", "mean", "last")


def build(seed=0, **changes):
    settings = {"cell": "lstm", "embedding_dim": 6, "hidden_size": 5, "num_layers": 1, "bidirectional": True}
    settings |= {"pooling": "max_mean", "dropout": 0.5, "word_dropout": 0.5, "bag_of_words": True, "word_pairs": 11}
    torch.manual_seed(seed)
    model = ReviewModel(Model(**(settings | changes)), words=20, classes=5).eval()
    if model.settings.bag_of_words:
        nn.init.normal_(model.wide.weight[2:])
    if model.settings.word_pairs:
        nn.init.normal_(model.pairs.weight[1:], std=0.2)
    return model


def some_reviews():
    random = np.random.default_rng(1)
    lengths = torch.tensor([3, 1, 7, 5])
    ids = torch.from_numpy(random.integers(1, 20, (4, 7)))
    return ids.masked_fill(torch.arange(7) >= lengths[:, None], 0), lengths


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_review_has_the_same_logits_alone_and_in_any_batch(cell, pooling, bidirectional):
    model = build(cell=cell, pooling=pooling, bidirectional=bidirectional, num_layers=2)
    ids, lengths = some_reviews()
    together = model(ids, lengths)
    wider = model(nn.functional.pad(ids, (0, 9)), lengths)
    torch.testing.assert_close(together, wider, rtol=0, atol=1e-6)
    for row, length in enumerate(lengths):
        alone = model(ids[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-6)


def test_reverse_by_hand():
    states = torch.tensor([[1.0, 2.0, 3.0, 0.0], [4.0, 0.0, 0.0, 0.0]])[:, :, None]
    assert reverse(states, torch.tensor([3, 1]))[:, :, 0].tolist() == [[3, 2, 1, 0], [4, 0, 0, 0]]


def test_the_model_equals_torchs_bidirectional_lstm_on_packed_sequences():
    model = build(pooling="last", bag_of_words=False, word_pairs=0)
    peer = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
    forward, backward = model.forwards[0].state_dict(), model.backwards[0].state_dict()
    peer.load_state_dict(forward | {f"{name}_reverse": values for name, values in backward.items()})
    ids, lengths = some_reviews()
    packed = nn.utils.rnn.pack_padded_sequence(model.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
    last = peer(packed)[1][0]
    expected = model.output(torch.cat([last[0], last[1]], dim=1))
    torch.testing.assert_close(model(ids, lengths), expected, rtol=0, atol=1e-6)


def test_the_logits_depend_on_word_order():
    model = build()
    lengths = torch.tensor([3])
    one, other = model(torch.tensor([[2, 3, 4]]), lengths), model(torch.tensor([[4, 3, 2]]), lengths)
    assert not torch.allclose(one, other, atol=1e-4)


def test_dropout_is_active_only_in_training():
    model = build()
    ids, lengths = some_reviews()
    assert torch.equal(model(ids, lengths), model(ids, lengths))
    model.train()
    assert not torch.equal(model(ids, lengths), model(ids, lengths))


def test_the_seed_determines_the_weights():
    one, same, other = (build(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["output.weight"], other["output.weight"])
    assert not one["embedding.weight"][0].any()


def test_bag_of_words_adds_the_logits_of_a_word_at_any_position():
    model = build(pooling="max_mean")
    ids, lengths = some_reviews()
    before = model(ids, lengths)
    with torch.no_grad():
        model.wide.weight[7] += torch.arange(5.0) / WIDE_SCALE
    added = (model(ids, lengths) - before).detach()
    times = (ids == 7).sum(dim=1) / lengths.sqrt()
    assert times.sum() > 0
    torch.testing.assert_close(added, times[:, None] * torch.arange(5.0), rtol=0, atol=1e-5)


def test_pairs_of_known_neighbours_have_a_row_each():
    ids = torch.tensor([[2, 3, 1, 4, 5, 0], [5, 4, 0, 0, 0, 0]])
    rows = pair_rows(ids, 11)
    assert rows.tolist() == [
        [1 + (2 * PAIR_FACTOR + 3) % 11, 0, 0, 1 + (4 * PAIR_FACTOR + 5) % 11, 0],
        [1 + (5 * PAIR_FACTOR + 4) % 11, 0, 0, 0, 0],
    ]
    assert pair_rows(torch.tensor([[2]]), 11).shape == (1, 0)


def test_a_pair_adds_its_logits_and_its_reverse_does_not():
    model = build(word_pairs=1000)
    ids, lengths = torch.tensor([[2, 7, 8, 3], [2, 8, 7, 3]]), torch.tensor([4, 4])
    before = model(ids, lengths)
    with torch.no_grad():
        model.pairs.weight[pair_rows(torch.tensor([[7, 8]]), 1000)[0, 0]] += torch.arange(5.0) / PAIR_SCALE
    added = (model(ids, lengths) - before).detach()
    torch.testing.assert_close(added, torch.stack([torch.arange(5.0) / 2, torch.zeros(5)]), rtol=0, atol=1e-5)


def test_rsqrt_is_correctly_rounded_and_so_the_same_on_every_cpu():
    lengths = torch.arange(1, 2000)
    assert lengths.rsqrt().tolist() == (1 / np.sqrt(lengths.numpy().astype(np.float32))).tolist()
