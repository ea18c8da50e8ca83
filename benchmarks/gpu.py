"""Measure a training step on a GPU beside the CPU, beside cuDNN and Keras alone, and what determinism costs there.

dvc repro resample; python -m benchmarks.gpu --rounds 5

Each figure is that of a process of its own, as PyTorch reads some settings once. The rows of a GPU say "not measured"
where there is none.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import numpy as np
import torch
from torch import nn

from src.core.params import Model, read_params
from src.learning.classification import ClassificationTask
from src.learning.model import ReviewModel
from src.learning.training import Training, be_deterministic
from src.text.encoded import load_encoded, shuffled_batches
from src.text.vocabulary import FIRST_WORD, read_vocabulary

STARS = 5
NONE = "not measured"
SIZES = (64, 256, 1024)
SIDE_BY_SIDE = (1, 2, 4)
WAYS = ("ours", "not deterministic", "LSTM alone", "Keras LSTM")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turn; default: 5")
    parser.add_argument("--steps", type=int, default=50, help="steps of a run; default: 50")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="reviews a step; default: %(default)s")
    parser.add_argument("--one", nargs=4, metavar=("WAY", "DEVICE", "PRECISION", "SIZE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        way, device, precision, size = given.one
        print(measure(way, device, precision, int(size), given.steps))
        return
    sizes = given.sizes.split(",")
    print(f"{torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'}; PyTorch {torch.__version__}\n")
    print("| way | device | precision | reviews a step | words/s, median | lowest | highest |")
    print("|---|---|---|---|---|---|---|")
    rows = [
        (way, device, precision, size)
        for size in sizes
        for device in ("cpu", "cuda")
        for way in WAYS
        for precision in (("float32",) if way == "Keras LSTM" else ("float32", "bfloat16"))
    ]
    speeds: dict[tuple[str, ...], list[float]] = {row: [] for row in rows}
    for _ in range(given.rounds):
        for row in rows:
            speeds[row] += side_by_side(1, row, given.steps)
    for row, values in speeds.items():
        print(f"| {' | '.join(row)} | {shown(values)} |")
    print("\n| trainings side by side on one GPU | reviews a step | words/s of all, median | lowest | highest |")
    print("|---|---|---|---|---|")
    for size in sizes:
        for count in SIDE_BY_SIDE:
            row = ("ours", "cuda", "float32", size)
            together = [sum(found) for _ in range(given.rounds) if (found := side_by_side(count, row, given.steps))]
            print(f"| {count} | {size} | {shown(together)} |", flush=True)


def shown(values: list[float]) -> str:
    """Median, lowest and highest."""
    if not values:
        return f"{NONE} | | "
    return f"{statistics.median(values):,.0f} | {min(values):,.0f} | {max(values):,.0f}"


def side_by_side(count: int, row: tuple[str, ...], steps: int) -> list[float]:
    """Words a second of each of so many processes at once; none where the device is not there."""
    if row[1] == "cuda" and not torch.cuda.is_available():
        return []
    command = [sys.executable, "-m", "benchmarks.gpu", "--steps", str(steps), "--one", *row]
    started = [subprocess.Popen(command, text=True, stdout=subprocess.PIPE) for _ in range(count)]
    said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        sys.exit(f"failed: {' '.join(command)}")
    return [float(words) for words in said if words.strip() != NONE]


def measure(way: str, device: str, precision: str, size: int, steps: int) -> float | str:
    """Words a second of one way, after a fifth of its steps to warm up."""
    params = read_params(Path("params.yaml"))
    if way == "not deterministic":
        torch.set_num_threads(params.train.threads)
    else:
        be_deterministic(params.train.threads)
    reviews = load_encoded(Path("data/encode/train"))
    rows = np.load("data/resample/rows.npy", mmap_mode="r", allow_pickle=False)
    batches = list(islice(endless(lambda seed: shuffled_batches(reviews, rows, size, seed)), steps))
    shapes = [(len(batch), int(reviews.lengths_of(batch).max())) for batch in batches]
    makers = {"LSTM alone": lstm_alone, "Keras LSTM": keras_lstm}
    if way in makers:
        step = makers[way](params.model, device, precision)
        work = [lambda shape=shape: step(*shape) for shape in shapes] if step else []
    else:
        words = FIRST_WORD + len(read_vocabulary(Path("data/encode/vocabulary.txt")))
        model = ReviewModel(params.model, words, STARS).to(device)
        task = ClassificationTask(model, reviews, rows, reviews, np.zeros(STARS))
        training = Training(model, 10**6, params.train)

        def take_step(batch: np.ndarray) -> None:
            with autocast(device, precision):
                loss, seen = task.loss(batch)
            training.take_step(loss, seen)

        work = [lambda batch=batch: take_step(batch) for batch in batches]
    if not work:
        return NONE
    warm = len(work) // 5
    for do in work[:warm]:
        do()
    wait_for(device)
    start = time.perf_counter()
    for do in work[warm:]:
        do()
    wait_for(device)
    return sum(int(reviews.lengths_of(batch).sum()) for batch in batches[warm:]) / (time.perf_counter() - start)


def lstm_alone(settings: Model, device: str, precision: str) -> Callable[[int, int], None]:
    """The LSTM of cuDNN (oneDNN on a CPU), forward and backward, without all else that a training step does."""
    lstm = nn.LSTM(settings.embedding_dim, settings.hidden_size, batch_first=True, bidirectional=settings.bidirectional)
    lstm.to(device)

    def step(reviews: int, words: int) -> None:
        states = torch.rand(reviews, words, settings.embedding_dim, device=device, requires_grad=True)
        with autocast(device, precision):
            loss = lstm(states)[0].float().sum()
        loss.backward()

    return step


def keras_lstm(settings: Model, device: str, _: str) -> Callable[[int, int], None] | None:
    """The LSTM of Keras on TensorFlow, the same; None where TensorFlow does not see the GPU."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    if device == "cuda" and not tf.config.list_physical_devices("GPU"):
        return None
    place = "/GPU:0" if device == "cuda" else "/CPU:0"
    layer = tf.keras.layers.LSTM(settings.hidden_size, return_sequences=True)
    layer = tf.keras.layers.Bidirectional(layer) if settings.bidirectional else layer
    layer.build((None, None, settings.embedding_dim))

    @tf.function(input_signature=[tf.TensorSpec([None, None, settings.embedding_dim])])
    def gradients(states: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(states)
            loss = tf.reduce_sum(layer(states))
        return tf.add_n([tf.reduce_sum(one) for one in tape.gradient(loss, [states, *layer.trainable_weights])])

    def step(reviews: int, words: int) -> None:
        with tf.device(place):
            gradients(tf.random.uniform((reviews, words, settings.embedding_dim))).numpy()

    return step


def endless(epoch: Callable[[int], Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    """The batches of one epoch after the other."""
    seed = 0
    while True:
        yield from epoch(seed)
        seed += 1


def autocast(device: str, precision: str) -> contextlib.AbstractContextManager[object]:
    """As in src.learning.training."""
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")


def wait_for(device: str) -> None:
    """Wait until the GPU has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
