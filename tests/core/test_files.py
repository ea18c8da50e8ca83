import pytest

from src.core.files import atomic_write, read_json, write_json
from src.core.seeds import seed_for


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_text("old", encoding="utf-8")

    def fail():
        with atomic_write(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "a" / "b"
    for name in ("first", "second"):
        with atomic_write(folder) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [path.name for path in folder.iterdir()] == ["second"]


def test_json_has_stable_bytes_and_no_nan(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": 1.5, "a": "ä"})
    assert path.read_bytes() == '{\n  "a": "ä",\n  "b": 1.5\n}\n'.encode()
    assert read_json(path) == {"b": 1.5, "a": "ä"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))


def test_each_purpose_has_its_own_seed():
    seeds = {seed_for(base, *purpose) for base in (0, 1) for purpose in (("order", 1), ("order", 2), ("weights",))}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert seed_for(1, "order", 2) == seed_for(1, "order", 2)
