"""Memory does not grow with the corpus: a training of twelve shards holds as much as one of four."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from src.text.encoded import SHARD, EncodedReviews
from tests.conftest import ROOT

WORDS = 4


def write_reviews(folder, count):
    """Reviews of WORDS words, as .npy files; where nothing but zeros stands the disk holds nothing."""
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
    from src.text import encoded as reviews
    from src.learning.classification import Rating
    from src.learning.training import fit
    from tests.conftest import changed_params
    from src.core.params import check_params
    from tests.learning.test_training import Nothing

    most = 0

    def anonymous():
        fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        return int(fields["RssAnon"].split()[0]) / 1024

    class Tiny(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.output = torch.nn.Linear(1, 2)

        def forward(self, ids, lengths):
            global most
            most = max(most, anonymous())
            return self.output(lengths[:, None].float())

    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    corpus = reviews.load_reviews(folder)
    rows = np.load(folder / "rows.npy", mmap_mode="r")
    settings = check_params(changed_params({"train.epochs": 1, "train.batch_size": 4096}), "params.yaml").train
    half = len(rows) // 2
    valid = corpus._replace(offsets=corpus.offsets[: half + 1], labels=corpus.labels[:half])
    best = fit(Rating(Tiny(), corpus, rows, valid, np.zeros(2)), settings, 1, lambda epoch: None, Nothing())
    print(best.number, most)
    """)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says how much memory is a process's own")
def test_the_memory_of_a_training_does_not_grow_with_the_corpus(tmp_path):
    most = {}
    for count in (4 * SHARD, 12 * SHARD):
        folder = tmp_path / str(count)
        write_reviews(folder, count)
        command = [sys.executable, "-c", PROGRAM, str(folder)]
        done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True)
        epochs, most[count] = done.stdout.split()
        assert epochs == "1"
    small, large = map(float, most.values())
    print(f"{small:.0f} and {large:.0f} MB")
    assert large < small + 40  # one array of a number for each review would add 64
