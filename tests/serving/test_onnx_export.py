import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.serving.onnx_export import build_onnx
from tests.learning.test_model import CELLS, POOLINGS, build

SHIFT = np.array([0.5, -0.25, 0.0, 1.0, -1.5])


def numpy_weights(model):
    return {name: values.numpy() for name, values in model.state_dict().items()}


def session_of(model):
    return onnxruntime.InferenceSession(build_onnx(model.settings, numpy_weights(model), SHIFT))


def reviews(seed, batch, words):
    random = np.random.default_rng(seed)
    lengths = random.integers(1, words + 1, batch)
    lengths[random.integers(batch)] = words
    ids = random.integers(1, 20, (batch, words))
    return np.where(np.arange(words) < lengths[:, None], ids, 0), lengths


def probabilities_of(model, ids, lengths):
    with torch.inference_mode():
        logits = model(torch.from_numpy(ids), torch.from_numpy(lengths)).double()
        return torch.softmax(logits + torch.from_numpy(SHIFT), dim=1).numpy()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_kind_of_model_predicts_the_same_as_pytorch(cell, pooling):
    for bidirectional, layers, bag, pairs in itertools.product((False, True), (1, 2), (True, False), (0, 1000)):
        shape = {"bidirectional": bidirectional, "num_layers": layers, "hidden_size": 7}
        shape |= {"bag_of_words": bag, "word_pairs": pairs}
        model = build(cell=cell, pooling=pooling, **shape)
        session = session_of(model)
        for batch, words in ((1, 1), (1, 9), (9, 30)):
            ids, lengths = reviews(batch, batch, words)
            (probabilities,) = session.run(None, {"ids": ids})
            np.testing.assert_allclose(probabilities, probabilities_of(model, ids, lengths), rtol=0, atol=1e-6)


LARGE = build(embedding_dim=16, hidden_size=16)
SESSION = session_of(LARGE)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), batch=st.integers(1, 40), words=st.integers(1, 60), padding=st.integers(0, 5))
def test_any_reviews_in_any_batch_with_any_padding(seed, batch, words, padding):
    ids, lengths = reviews(seed, batch, words)
    (probabilities,) = SESSION.run(None, {"ids": np.pad(ids, ((0, 0), (0, padding)))})
    np.testing.assert_allclose(probabilities, probabilities_of(LARGE, ids, lengths), rtol=0, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_the_file_is_valid_and_the_same_each_time():
    written = build_onnx(LARGE.settings, numpy_weights(LARGE), SHIFT)
    assert written == build_onnx(LARGE.settings, numpy_weights(LARGE), SHIFT)
    onnx.checker.check_model(onnx.load_from_string(written), full_check=True)
