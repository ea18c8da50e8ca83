"""The exported model: it encodes and predicts the same as the trained one, in any batch."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.errors import UserError
from src.serving.parity import AWKWARD, check_parity
from src.serving.predictor import BATCH_WORDS, NO_KNOWN_WORD, NO_WORD, Predictor, _batches, md5
from src.text import cleaning
from src.text.cleaning import make_cleaner
from src.text.tokenizer import load_tokenizer
from src.text.vocabulary import UNKNOWN
from src.text.words import StopWords
from tests.conftest import ROOT

TEXTS = st.lists(st.one_of(st.text(), st.sampled_from(AWKWARD[:8])), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def predictor(project):
    return Predictor(project.path / "models/export")


@pytest.fixture(scope="module")
def tokenize(project):
    return load_tokenizer(project.path / "data/encode/tokenizer")


@given(texts=TEXTS)
def test_the_predictor_encodes_like_the_tensorflow_graph(predictor, tokenize, texts):
    ids, lengths = tokenize([predictor.clean(text) for text in texts])
    encoded = predictor.encode(texts)
    assert encoded.ids.tolist() == ids.tolist()
    assert encoded.lengths.tolist() == lengths.tolist()


@given(texts=TEXTS, others=TEXTS)
def test_a_prediction_does_not_depend_on_the_batch(predictor, texts, others):
    alone = predictor.predict_proba(texts)
    together = predictor.predict_proba([*others, *texts, *others])
    np.testing.assert_allclose(together[len(others) : len(others) + len(texts)], alone, rtol=0, atol=1e-6)


def test_cells_without_text_get_a_reason(predictor):
    predictions = predictor.predict(["great app", "", None, float("nan"), ["a"], "  ", 7, b"great app", "the of"])
    not_used = [*["no text"] * 3, "text is not a string", "no text"]
    assert predictions.reasons == [None, *not_used, NO_KNOWN_WORD, None, NO_WORD]
    assert predictions.word_count.tolist() == [2, 0, 0, 0, 0, 0, 1, 2, 0]
    assert predictions.known_words.tolist() == [2, 0, 0, 0, 0, 0, 0, 2, 0]
    usable = [reason is None for reason in predictions.reasons]
    np.testing.assert_allclose(predictions.probabilities[usable].sum(axis=1), 1)
    assert np.isnan(predictions.probabilities[~np.array(usable)]).all()
    assert set(predictions.predicted[usable]) <= {1, 2, 3, 4, 5}
    assert not predictions.predicted[~np.array(usable)].any()
    np.testing.assert_allclose(predictions.expected[0], predictions.probabilities[0] @ [1, 2, 3, 4, 5])
    assert predictions.probabilities[0].tolist() == predictions.probabilities[7].tolist()
    assert predictor.predict([]).reasons == []


@pytest.mark.parametrize(
    ("text", "counts", "reason"),
    [
        ("The app crashes, qqqq zzzz!", (5, 3), None),
        ("asdfghjkl", (1, 0), NO_KNOWN_WORD),
        ("qqqq qqqq qqqq", (3, 0), NO_KNOWN_WORD),
        ("!", (1, 1), None),
        ("the of and", (0, 0), NO_WORD),
        ("...", (0, 0), NO_WORD),
    ],
)
def test_known_words_are_counted_and_a_text_without_one_is_not_rated(predictor, text, counts, reason):
    predictions = predictor.predict(["great", text])
    assert (predictions.word_count[1], predictions.known_words[1]) == counts
    assert predictions.reasons == predictor.reasons(["great", text]) == [None, reason]
    assert np.isnan(predictions.expected[1]) == (reason is not None)


def test_the_effect_of_a_word_is_the_change_without_it(predictor):
    (effects,) = predictor.explain(["crash but great"])
    effect = dict(effects)
    assert [abs(value) for value in effect.values()] == sorted(map(abs, effect.values()), reverse=True)
    whole, without = predictor.predict(["crash but great", "crash but qqqq"]).expected
    assert predictor.encode(["qqqq"]).ids.tolist() == [UNKNOWN]
    assert effect["great"] == pytest.approx(whole - without, abs=1e-6)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=300), st.integers(1, 64))
def test_batches_hold_every_review_once_and_limit_the_words(lengths, size):
    lengths = np.array(lengths)
    batches = list(_batches(lengths, size))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= BATCH_WORDS
        assert len(batch) <= size


def test_parity_quotes_a_text_that_differs(predictor):
    texts = ["great app", "bad app"]
    reviews, probabilities = predictor.encode(texts), predictor.predict_proba(texts)
    assert check_parity(texts, reviews, probabilities, predictor, 1e-5) < 1e-6
    with pytest.raises(UserError, match=r"differ by 1.0e-01, .*export\.tolerance.*'bad app'"):
        check_parity(texts, reviews, probabilities + np.array([[0.0], [0.1]]), predictor, 1e-5)
    with pytest.raises(UserError, match="differ by nan"):
        check_parity(texts, reviews, probabilities * np.nan, predictor, 1e-5)
    other = reviews._replace(ids=np.where(np.arange(len(reviews.ids)) == 2, 999, reviews.ids))
    with pytest.raises(UserError, match=r"the word ids of a text are .* instead of .*'bad app'"):
        check_parity(texts, other, probabilities, predictor, 1e-5)


def test_the_export_records_what_it_was_made_from(project):
    description = json.loads((project.path / "models/export/export.json").read_text(encoding="utf-8"))
    labels = pd.read_parquet(project.path / "data/prepare/train.parquet").rating
    assert description["prior"] == [(labels == star).mean() for star in range(1, 6)]
    assert description["params"]["model"]["hidden_size"] == 16
    (md5,) = project.run("md5sum", "models/train/model.safetensors").split()[:1]
    assert description["made_from"]["models/train/model.safetensors"] == md5
    assert str(project.path) not in json.dumps(description)


@pytest.mark.parametrize("name", ["model.onnx", "vocabulary.txt", "export.json"])
def test_files_that_do_not_belong_together_are_refused(project, tmp_path, name):
    folder = tmp_path / "export"
    shutil.copytree(project.path / "models/export", folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-3])
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        Predictor(folder)
    (folder / "export.json").unlink()
    with pytest.raises(UserError, match=r"export\.json: no such file; run dvc repro export"):
        Predictor(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stars": [1, 2, 3, 4]}, "prior: not a positive share"),
        ({"stars": [5, 4, 3, 2, 1]}, "stars: not in ascending order"),
        ({"prior": [0.5, 0.5, 0.0, 0.0, 0.0]}, "prior: not a positive share"),
        ({"prior": [0.3, 0.3, 0.3, 0.3, 0.3]}, "prior: not a positive share"),
        ({"stars": [1, 2, 3], "prior": [0.2, 0.3, 0.5]}, "its parts do not fit together"),
        ({"stop_words": {}}, "a language is missing"),
        ({"files": {}}, "model.onnx or vocabulary.txt is missing"),
        ({"vocabulary": 1000}, "its parts do not fit together"),
        ({"network": b"no network"}, "model.onnx: not a network"),
    ],
    ids=str,
)
def test_an_inconsistent_description_is_refused(project, tmp_path, changes, message):
    folder = tmp_path / "export"
    shutil.copytree(project.path / "models/export", folder)
    description = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    if more := changes.pop("vocabulary", 0):
        with (folder / "vocabulary.txt").open("a", encoding="utf-8") as file:
            file.writelines(f"word{number}\n" for number in range(more))
    (folder / "model.onnx").write_bytes(changes.pop("network", (folder / "model.onnx").read_bytes()))
    for name in ("vocabulary.txt", "model.onnx"):
        description["files"][name] = md5(folder / name)
    (folder / "export.json").write_text(json.dumps(description | changes), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        Predictor(folder)


def test_a_full_cache_does_not_change_the_result(monkeypatch, make_params):
    words = StopWords(frozenset(["the"]), frozenset())
    texts = ["the apps crashed, " * 3, "x" * 60, "crashes the crashing apps", "sooo goooood"] * 3
    expected = list(map(make_cleaner("english", make_params().clean, words), texts))
    monkeypatch.setattr(cleaning, "REMEMBERED", 2)
    assert list(map(make_cleaner("english", make_params().clean, words), texts)) == expected


@pytest.mark.parametrize("module", ["src.serving.predictor", "commands.predict"])
def test_a_model_is_used_without_importing_a_framework(project, module):
    program = f"""
import sys, {module}
from pathlib import Path
from src.serving.predictor import Predictor
assert Predictor(Path(sys.argv[1])).predict(["great app"]).predicted[0]
unused = "tensorflow torch pandas sklearn scipy onnx dask distributed fsspec".split()
print([name for name in unused if name in sys.modules])
"""
    command = [sys.executable, "-c", program, project.path / "models/export"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


class FailingCleaner:
    """Cleans like another cleaner, but fails for one text, with an error that nobody expects."""

    def __init__(self, clean):
        self.clean = clean

    def __call__(self, text):
        if text == "fail":
            raise RecursionError("quotes the review")
        return self.clean(text)


def test_a_text_that_fails_harms_no_other(project, predictor):
    broken = Predictor(project.path / "models/export")
    broken.clean = FailingCleaner(broken.clean)
    texts = ["I love it", "fail", "It crashes", "", "fail", "Great!"]
    found, expected = broken.predict(texts), predictor.predict(texts)
    assert found.reasons == [
        None,
        "cannot be read (RecursionError)",
        None,
        "no text",
        "cannot be read (RecursionError)",
        None,
    ]
    assert broken.reasons(texts) == found.reasons
    rated = [0, 2, 5]
    np.testing.assert_allclose(found.probabilities[rated], expected.probabilities[rated], atol=1e-6)
    assert found.predicted.tolist() == [expected.predicted[0], 0, expected.predicted[2], 0, 0, expected.predicted[5]]
