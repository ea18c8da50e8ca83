"""Resample the train split if its classes are imbalanced; validation and test keep their class shares."""

from pathlib import Path

import numpy as np

from src.core.errors import run
from src.core.files import atomic_write, read_json, write_json
from src.core.params import read_params
from src.core.seeds import seed_for
from src.learning.resampling import resample
from src.text.encoded import load_encoded

INPUT = Path("data/encode")
OUTPUT = Path("data/resample")


def main() -> None:
    params = read_params(Path("params.yaml"))
    labels = load_encoded(INPUT / "train").labels
    stars = read_json(INPUT / "stars.json")
    chosen = resample(labels, len(stars), params.resample, seed_for(params.base.seed, "resample"))
    with atomic_write(OUTPUT) as temporary:
        temporary.mkdir()
        np.save(temporary / "rows.npy", chosen.rows, allow_pickle=False)
        write_json(temporary / "log_prior_shift.json", chosen.log_prior_shift.round(6).tolist())
    before, after = (np.bincount(part, minlength=len(stars)).tolist() for part in (labels, labels[chosen.rows]))
    found = "imbalance found" if chosen.found else "no imbalance found"
    print(f"resample: {found}; training reviews with {stars} stars: {before} before, {after} after")


if __name__ == "__main__":
    run(main)
