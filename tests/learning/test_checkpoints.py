import torch

from src.core.fingerprints import fingerprint
from src.learning.checkpoints import Checkpoint


def test_what_is_saved_comes_back(tmp_path):
    checkpoint = Checkpoint(tmp_path / "a" / "checkpoint.safetensors")
    assert checkpoint.load() is None
    for number in (1, 2):
        checkpoint.save({"a/b": torch.full((3,), number)}, {"list": [number, 0.1], "name": "x"})
    tensors, numbers = checkpoint.load()
    assert tensors["a/b"].tolist() == [2, 2, 2]
    assert numbers == {"list": [2, 0.1], "name": "x"}
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["checkpoint.safetensors"]
    checkpoint.forget()
    assert checkpoint.load() is None


def test_a_fingerprint_changes_with_every_input_and_value(tmp_path):
    (tmp_path / "folder").mkdir()
    inner, other = tmp_path / "folder" / "a", tmp_path / "b"
    inner.write_text("1", encoding="utf-8")
    other.write_text("1", encoding="utf-8")

    def now(values):
        return fingerprint([tmp_path / "folder", other], values)

    first = now({"seed": 1})
    assert now({"seed": 1}) == first
    assert now({"seed": 2}) != first
    inner.write_text("2", encoding="utf-8")
    assert now({"seed": 1}) != first
