"""Teach the embedding and the first recurrent layer which word follows, before any stars are looked at."""

import os
from pathlib import Path

import torch
from safetensors.torch import save

from src.checkpoints import fingerprint, resumable
from src.curves import Curves
from src.errors import run
from src.files import replacing, write_json
from src.kernels import use_portable_kernels
from src.language import Language, LanguageModel
from src.params import read_params
from src.reviews import load_reviews
from src.seeds import seed_for
from src.training import be_deterministic, choose_device, fit
from src.vocabulary import FIRST_WORD

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

    shape = (params.model.cell, params.model.directions, words, params.model.embedding, params.model.hidden)
    torch.manual_seed(seed_for(seed, "weights"))
    network = LanguageModel(settings, *shape).to(choose_device(params.train.device))
    task = Language(network, train_split, valid_split)
    scratch = SCRATCH / fingerprint([ENCODED], [seed, shape, settings.model_dump(), params.train.portable])
    with resumable(scratch, settings.resume) as checkpoint:
        with Curves(CURVES, METRICS) as curves:
            best = fit(task, settings, seed, curves.log_epoch, checkpoint)
        weights = network.first_layer() if best else {}
        with replacing(OUTPUT) as aside:
            aside.mkdir()
            (aside / "model.safetensors").write_bytes(save({name: part.cpu() for name, part in weights.items()}))
        write_json(METRICS, best.summary() if best else {})


if __name__ == "__main__":
    run(main)
