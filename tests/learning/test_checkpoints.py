import torch

from src.core.fingerprints import fingerprint
from src.learning.checkpoints import Checkpoint


def test_saved_tensors_and_numbers_are_loaded(tmp_path):
    checkpoint = Checkpoint(tmp_path / "a" / "checkpoint.safetensors")
    assert checkpoint.load() is None
    for number in (1, 2):
        checkpoint.save({"a/b": torch.full((3,), number)}, {"list": [number, 0.1], "name": "x"})
    tensors, numbers = checkpoint.load()
    assert tensors["a/b"].tolist() == [2, 2, 2]
    assert numbers == {"list": [2, 0.1], "name": "x"}
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["checkpoint.safetensors"]
    checkpoint.remove()
    assert checkpoint.load() is None


def test_a_fingerprint_changes_with_every_input_and_value(tmp_path):
    (tmp_path / "folder").mkdir()
    inner, outer = tmp_path / "folder" / "a", tmp_path / "b"
    inner.write_text("1", encoding="utf-8")
    outer.write_text("1", encoding="utf-8")

    def current(values):
        return fingerprint([tmp_path / "folder", outer], values)

    first = current({"seed": 1})
    assert current({"seed": 1}) == first
    assert current({"seed": 2}) != first
    inner.write_text("2", encoding="utf-8")
    assert current({"seed": 1}) != first
