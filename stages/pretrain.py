"""Teach the embedding and the first recurrent layer which word follows, before any stars are looked at."""

import os
from collections import Counter
from pathlib import Path

import torch
from safetensors.torch import save

from src.checkpoints import fingerprint, resumable
from src.cleaning import make_cleaner
from src.curves import Curves
from src.domain import SPLITS
from src.errors import run
from src.extra import encode_extra, joined, key_of
from src.files import replacing, write_json
from src.kernels import use_portable_kernels
from src.language import Language, LanguageModel
from src.params import Params, read_params
from src.review_files import read_parts
from src.reviews import Reviews, load_reviews
from src.seeds import seed_for
from src.tables import read_table
from src.training import be_deterministic, choose_device, fit
from src.vocabulary import FIRST_WORD

PREPARED = Path("data/prepare")
ENCODED = Path("data/encode")
OUTPUT = Path("models/pretrain")
METRICS = Path("metrics/pretrain.json")
CURVES = Path("plots/pretrain")
SCRATCH = Path(os.environ.get("DVC_ROOT", ".")) / ".checkpoints"  # as in train


def main() -> None:
    params = read_params(Path("params.yaml"))
    if params.train.portable:
        use_portable_kernels()
    be_deterministic(params.train.threads)
    settings = params.pretrain
    seed = seed_for(params.base.seed, "pretrain")
    words = FIRST_WORD + len((ENCODED / "vocabulary.txt").read_text(encoding="utf-8").splitlines())
    train_split, valid_split = load_reviews(ENCODED / "train"), load_reviews(ENCODED / "valid")
    extra, counts = read_extra(params)

    shape = (params.model.cell, params.model.directions, words, params.model.embedding, params.model.hidden)
    torch.manual_seed(seed_for(seed, "weights"))
    network = LanguageModel(settings, *shape).to(choose_device(params.train.device))
    task = Language(network, joined(train_split, extra), valid_split)
    scratch = SCRATCH / fingerprint(
        [ENCODED, Path(settings.extra_path)], [seed, shape, settings.model_dump(), params.train.portable]
    )
    with resumable(scratch, settings.resume) as checkpoint:
        with Curves(CURVES, METRICS) as curves:
            best = fit(task, settings, seed, curves.log_epoch, checkpoint)
        weights = network.first_layer() if best else {}
        if not best:
            write_empty_curves()
        with replacing(OUTPUT) as aside:
            aside.mkdir()
            (aside / "model.safetensors").write_bytes(save({name: part.cpu() for name, part in weights.items()}))
        write_json(METRICS, (best.summary() if best else {}) | {"extra": counts})


def write_empty_curves() -> None:
    """Write curves without an epoch: Git would lose an empty folder, and `dvc plots` wants the files."""
    for part in ("train", "valid"):
        folder = CURVES / "metrics" / part
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "loss.tsv").write_text("step\tloss\n", encoding="utf-8")


def read_extra(params: Params) -> tuple[Reviews, Counter[str]]:
    """Read the reviews beside the table, if there are any; the columns are those of the table, but for the rating."""
    place = Path(params.pretrain.extra_path)
    paths = [place] if place.is_file() else sorted(path for path in place.iterdir() if path.name[0] != ".")
    known: set[bytes] = set()
    for split in SPLITS if paths else ():
        for part in read_parts(PREPARED / f"{split}.parquet"):
            known.update(map(key_of, part.column("text").to_pylist()))
    # The table reader wants two columns; the second is not looked at.
    data = params.data.model_copy(update={"rating_column": params.data.text_column, "split_column": None})
    rows = (row for path in paths for row in read_table(path, data).rows)
    words = (ENCODED / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    ids = {word: number for number, word in enumerate(words, FIRST_WORD)}
    extra, counts = encode_extra(rows, known, make_cleaner(data.language, params.clean), ids, params.encode.max_length)
    if paths:
        print(f"pretrain: more reviews from {place}: {dict(counts)}")
    return extra, counts


if __name__ == "__main__":
    run(main)
