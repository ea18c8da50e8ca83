"""Test reviews that nearly equal a train review are counted and scored apart from the rest."""

import pandas as pd

from benchmarks import leakage

TRUE = {f"true_p{star}": 0.2 for star in range(1, 6)}


def write(path, texts, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"text": texts} | columns).to_parquet(path)


def test_near_equals_are_scored_apart(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data/prepare/train.parquet", ["I love it", "It crashes"])
    write(tmp_path / "data/clean/train.parquet", ["love", "crash"])
    write(tmp_path / "data/prepare/valid.parquet", ["Slow!"])
    write(tmp_path / "data/clean/valid.parquet", ["slow !"])
    test = ["i LOVE it!", "So it crashes", "Slow", "Fine"]
    write(tmp_path / "data/prepare/test.parquet", test, rating=[5, 1, 2, 5], **TRUE)
    write(tmp_path / "data/clean/test.parquet", ["love !", "crash", "slow", "fine"])
    probabilities = {f"p{star}": [0.1] * 4 for star in range(1, 5)} | {"p5": [0.6] * 4}
    write(tmp_path / "data/evaluate/predictions.parquet", test, predicted=[5, 5, 2, 1], **probabilities)
    leakage.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [
        ["the letters and digits of a train review", "1", "1.000", "0.511", "1.609"],
        ["those of another valid or test review only", "1", "1.000", "2.303", "1.609"],
        ["the cleaned text of a train review", "1", "0.000", "2.303", "1.609"],
        ["none of these", "1", "0.000", "0.511", "1.609"],
        ["all", "4", "0.500", "1.407", "1.609"],
    ]
