import numpy as np
import pytest

from src.core.errors import UserError
from src.learning.model import EMBEDDING_STD, initialize_embedding, make_embedding
from src.text.cleaning import make_cleaner
from src.text.stop_words import find_stop_words
from src.text.word_vectors import average_vectors, coverage

IDS = {"crash": 2, "good": 3, "never": 4}


@pytest.fixture
def clean(make_params):
    return make_cleaner("english", make_params().clean, find_stop_words("english"))


def test_a_stem_gets_the_mean_of_its_forms_weighted_by_rank(clean):
    lines = ["the 9 9", "crash 1 0", "Crashes 0 1", "table 5 5", "never 2 2"]
    found = average_vectors(lines, "v.txt", clean, IDS, 2)
    # crash is the second word of the file and crashes the third, so their weights are 1/2 and 1/3.
    assert found[2] == pytest.approx([0.6, 0.4])
    assert found[4] == pytest.approx([2, 2])
    assert list(found) == [2, 4]


def test_a_header_and_words_with_spaces_are_skipped(clean):
    lines = ["3 2\n", "good morning 7 7\n", "good\u00a0morning 8 8\n", "good 1 2 \r\n"]
    assert average_vectors(lines, "v.txt", clean, IDS, 2)[3] == pytest.approx([1, 2])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["400000 300"], "vectors of 300 dimensions; set model.embedding_dim to 300, not 2"),
        (["good 1 2 3"], "vectors of 3 dimensions; set model.embedding_dim to 3, not 2"),
        ([""], "vectors of 0 dimensions"),
        (["a 1 2", "good 1"], "v.txt, line 2: not a word and 2 numbers"),
        (["a 1 2", "good 1 nan"], "v.txt, line 2"),
        (["a 1 2", "good 1 two"], "v.txt, line 2"),
        (["bon 1 2"], "v.txt: no word of the vocabulary has a vector"),
        ([], "v.txt: no word"),
    ],
)
def test_an_unusable_file_is_refused(clean, lines, message):
    with pytest.raises(UserError, match=message):
        average_vectors(lines, "v.txt", clean, IDS, 2)


def test_coverage_of_the_vocabulary_and_of_the_text():
    assert coverage([2, 4], np.array([2, 2, 3, 1]), words=3) == {"vocabulary": 0.6667, "words": 0.5}
    assert coverage([], np.array([], int), words=0) == {"vocabulary": 0.0, "words": 0.0}


def test_vectors_replace_random_weights_at_the_same_scale():
    embedding = make_embedding(6, 2)
    before = embedding.weight.detach().clone()
    initialize_embedding(embedding, {2: np.array([30.0, -10.0]), 4: np.array([-10.0, -30.0])})
    after = embedding.weight.detach()
    assert after[[2, 4]].square().mean().sqrt().item() == pytest.approx(EMBEDDING_STD)
    assert after[2, 0] == pytest.approx(-3 * after[2, 1].item())
    assert (after[[0, 1, 3, 5]] == before[[0, 1, 3, 5]]).all()


def test_vectors_of_zeros_stay_zero():
    embedding = make_embedding(4, 2)
    initialize_embedding(embedding, {2: np.zeros(2)})
    assert embedding.weight[2].tolist() == [0, 0]
