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
    test = ["i LOVE it!", "So it crashes", "Slow"]
    write(tmp_path / "data/prepare/test.parquet", test, rating=[5, 1, 2], **TRUE)
    write(tmp_path / "data/clean/test.parquet", ["love !", "crash", "slow"])
    probabilities = {f"p{star}": [0.1, 0.1, 0.1] for star in range(1, 5)} | {"p5": [0.6, 0.6, 0.6]}
    write(tmp_path / "data/evaluate/predictions.parquet", test, predicted=[5, 5, 2], **probabilities)
    leakage.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [
        ["same letters and digits", "1", "1.000", "0.511", "1.609"],
        ["same cleaned text", "1", "0.000", "2.303", "1.609"],
        ["neither", "1", "1.000", "2.303", "1.609"],
        ["all", "3", "0.667", "1.705", "1.609"],
    ]
