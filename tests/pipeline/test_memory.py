"""Memory does not grow with the corpus: training on twelve shards needs as much as training on four."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from src.text.encoded import SHARD, EncodedReviews
from tests.conftest import ROOT

WORDS = 4


def write_reviews(folder, count):
    """Write reviews of WORDS words as .npy files; arrays of zeros are sparse and take no disk space."""
    folder.mkdir(parents=True)
    for name, length, dtype in (
        ("ids", WORDS * count, np.int32),
        ("offsets", count + 1, np.int64),
        ("labels", count, np.int64),
        ("rows", count, np.int64),
    ):
        values = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (length,))
        if name in ("offsets", "rows"):
            for start in range(0, length, SHARD):
                numbers = np.arange(start, min(start + SHARD, length))
                values[start : start + SHARD] = numbers * (WORDS if name == "offsets" else 1)
    assert set(EncodedReviews._fields) < {path.stem for path in folder.iterdir()}


PROGRAM = textwrap.dedent("""
    import sys
    from pathlib import Path
    import numpy as np, torch
    from src.core.params import check_params
    from src.learning.checkpoints import Checkpoint
    from src.learning.classification import ClassificationTask
    from src.learning.training import fit
    from src.text.encoded import load_encoded
    from tests.conftest import changed_params

    peak = 0

    def anonymous_memory():
        fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        return int(fields["RssAnon"].split()[0]) / 1024

    class Tiny(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.output = torch.nn.Linear(1, 2)

        def forward(self, ids, lengths):
            global peak
            peak = max(peak, anonymous_memory())
            return self.output(lengths[:, None].float())

    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    corpus = load_encoded(folder)
    rows = np.load(folder / "rows.npy", mmap_mode="r")
    changes = {"train.epochs": 1, "train.min_steps": 0, "train.batch_size": 4096}
    settings = check_params(changed_params(changes), "params.yaml").train
    half = len(rows) // 2
    valid = corpus._replace(offsets=corpus.offsets[: half + 1], labels=corpus.labels[:half])
    task = ClassificationTask(Tiny(), corpus, rows, valid, np.zeros(2))
    best = fit(task, settings, 1, lambda epoch: None, Checkpoint(folder / "checkpoint.safetensors"))
    print(best.number, peak)
    """)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/self/status")
def test_the_memory_of_training_does_not_grow_with_the_corpus(tmp_path):
    peaks = {}
    for count in (4 * SHARD, 12 * SHARD):
        folder = tmp_path / str(count)
        write_reviews(folder, count)
        command = [sys.executable, "-c", PROGRAM, str(folder)]
        done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True)
        epochs, peaks[count] = done.stdout.split()
        assert epochs == "1"
    small, large = map(float, peaks.values())
    print(f"{small:.0f} and {large:.0f} MB")
    assert large < small + 40  # an array with one int64 a review would add 64
