"""Measure what determinism, checkpoints and portable kernels cost: the same training with and without each.

dvc repro resample; python -m benchmarks.price --rounds 5
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from src.core.cpu_dispatch import PORTABLE
from src.core.params import read_params
from src.learning.checkpoints import Checkpoint
from src.learning.classification import ClassificationTask
from src.learning.model import ReviewModel
from src.learning.training import be_deterministic, fit
from src.text.encoded import load_encoded
from src.text.vocabulary import FIRST_WORD, read_vocabulary

ENCODED = Path("data/encode")
EPOCHS = 2
WAYS = ("plain", "deterministic", "and checkpoints", "and portable")


class NoCheckpoint(Checkpoint):
    """A checkpoint that is never written."""

    def save(self, tensors, numbers):
        """Leave out what costs time."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each way, in turn; default: 5")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(seconds_of(given.way))
        return
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(given.rounds):
        for way in WAYS:
            env = os.environ | (PORTABLE if way == "and portable" else {})
            command = [sys.executable, "-m", "benchmarks.price", "--way", way]
            done = subprocess.run(command, env=env, text=True, stdout=subprocess.PIPE, check=True)
            seconds[way].append(float(done.stdout))
    print("| training | seconds, median | lowest | highest | times plain |\n|---|---|---|---|---|")
    for way, values in seconds.items():
        ratio = statistics.median(value / plain for value, plain in zip(values, seconds["plain"], strict=True))
        middle = statistics.median(values)
        print(f"| {way} | {middle:.2f} | {min(values):.2f} | {max(values):.2f} | {ratio:.2f} |")


def seconds_of(way: str) -> float:
    """Train in one way and give the seconds it took, imports and reading left out."""
    params = read_params(Path("params.yaml"))
    settings = params.train.model_copy(update={"epochs": EPOCHS})
    if way == "plain":
        torch.set_num_threads(settings.threads)
    else:
        be_deterministic(settings.threads)
    train_split, valid_split = load_encoded(ENCODED / "train"), load_encoded(ENCODED / "valid")
    rows = np.load("data/resample/rows.npy", allow_pickle=False)
    words = FIRST_WORD + len(read_vocabulary(ENCODED / "vocabulary.txt"))
    torch.manual_seed(params.base.seed)
    model = ReviewModel(params.model, words, 5)
    with tempfile.TemporaryDirectory() as folder:
        kind = Checkpoint if way.startswith("and") else NoCheckpoint
        checkpoint = kind(Path(folder) / "checkpoint.safetensors")
        start = time.perf_counter()
        task = ClassificationTask(model, train_split, rows, valid_split, np.zeros(5))
        fit(task, settings, 1, lambda epoch: None, checkpoint)
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
