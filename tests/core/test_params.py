import pytest

from src.core.errors import UserError
from src.core.params import check_params, read_params
from tests.conftest import ROOT, changed_params


def test_the_committed_file_is_valid():
    read_params(ROOT / "params.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.learning_rate": 0.1}, "train.learning_rate: unknown key; valid keys: patience, batch_size, lr, "),
        ({"train.epoch": 3}, "did you mean epochs?"),
        ({"train.lr": "fast"}, "train.lr: input should be a valid number, not 'fast'"),
        ({"train.lr": float("nan")}, "train.lr: input should be a finite number"),
        ({"train.lr": 0}, "train.lr: input should be greater than 0"),
        ({"train.epochs": 2.5}, "train.epochs: "),
        ({"train.epochs": True}, "train.epochs: "),
        ({"model.cell": "lstn"}, "model.cell: input should be 'lstm', 'gru' or 'rnn', not 'lstn'"),
        ({"prepare.valid_share": 0.5, "prepare.test_share": 0.5}, "nothing is left to train on"),
        ({"data.separator": "\\t"}, "data.separator: must be auto or one character, "),
        ({"clean.keep_emoji": "yes"}, "clean.keep_emoji: "),
    ],
)
def test_a_wrong_value_is_named(changes, message):
    with pytest.raises(UserError) as error:
        check_params(changed_params(changes), "params.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_key_and_an_unknown_section_are_named():
    raw = changed_params({})
    del raw["train"]["lr"]
    raw["trian"] = {}
    with pytest.raises(UserError, match=r"train\.lr: missing.*; trian: unknown key; did you mean train\?"):
        check_params(raw, "params.yaml")


def test_scientific_notation_is_a_number(tmp_path):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("lr: 0.003 ", "lr: 1e-3 "), encoding="utf-8")
    assert read_params(path).train.lr == 0.001


@pytest.mark.parametrize(
    "text", ["", "- a\n", "base:\n\tseed: 1\n", "base: [1\n", "base: 3\n", "base:\n  seed: 1\n  seed: 2\n"]
)
def test_a_file_that_does_not_map_sections_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_params(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.yaml: no such file"):
        read_params(tmp_path / "nowhere.yaml")
