"""Train the recurrent model; keep the epoch with the lowest validation loss."""

import os
from pathlib import Path

from src.core.cpu_dispatch import choose_kernels
from src.core.errors import UserError, run
from src.core.params import Params, read_params

if __name__ == "__main__":  # before the imports below, with which libraries choose kernels
    run(lambda: choose_kernels(read_params(Path("params.yaml")).train.portable))

import numpy as np
import torch
from safetensors.torch import load_file, save

from src.core.files import read_json, replacing, write_json
from src.core.fingerprints import fingerprint
from src.core.seeds import seed_for
from src.learning.checkpoints import resumable
from src.learning.classification import Rating
from src.learning.distributed import group, is_first, is_launched, world
from src.learning.launcher import launch
from src.learning.live_logger import Curves
from src.learning.model import ReviewModel
from src.learning.training import be_deterministic, choose_device, fit
from src.text.encoded import load_reviews
from src.text.vocabulary import FIRST_WORD

ENCODED = Path("data/encode")
RESAMPLED = Path("data/resample")
PRETRAINED = Path("models/pretrain")
OUTPUT = Path("models/train")
METRICS = Path("metrics/train.json")
CURVES = Path("plots/train")
# In the main repository, also for a queue worker in a folder of its own, so that a queued run goes on too.
SCRATCH = Path(os.environ.get("DVC_ROOT", ".")) / ".checkpoints"


def main() -> None:
    params = read_params(Path("params.yaml"))
    if params.train.processes > 1 and not is_launched():
        launch(params.train.processes)
        return
    if is_launched() and (started := int(os.environ["WORLD_SIZE"])) != params.train.processes:
        raise UserError(
            f"train.processes: {params.train.processes}, but {started} processes were started; set it to {started}, "
            "for other numbers give other bytes, and dvc.lock names it"
        )
    be_deterministic(params.train.threads)
    device = choose_device(params.train.device)
    with group(device):
        train(params, device)


def train(params: Params, device: torch.device) -> None:
    """Train, alone or as one of several ranks, of which the first writes what comes of it."""
    seed = params.base.seed
    words = FIRST_WORD + len((ENCODED / "vocabulary.txt").read_text(encoding="utf-8").splitlines())
    shift = np.array(read_json(RESAMPLED / "log_prior_shift.json"))
    rows = np.load(RESAMPLED / "rows.npy", mmap_mode="r", allow_pickle=False)
    train_split, valid_split = load_reviews(ENCODED / "train"), load_reviews(ENCODED / "valid")

    torch.manual_seed(seed_for(seed, "weights"))
    model = ReviewModel(params.model, words, len(shift))
    model.load_state_dict(model.state_dict() | load_file(PRETRAINED / "model.safetensors"))
    task = Rating(model.to(device), train_split, rows, valid_split, shift)
    values = [seed, params.model.model_dump(), params.train.model_dump(), world()]
    scratch = SCRATCH / fingerprint([ENCODED, RESAMPLED, PRETRAINED], values)
    with resumable(scratch, params.train.resume) as checkpoint:
        if not is_first():
            fit(task, params.train, seed, lambda epoch: None, checkpoint)
            return
        with Curves(CURVES, METRICS) as curves:
            best = fit(task, params.train, seed, curves.log_epoch, checkpoint)
        with replacing(OUTPUT) as aside:
            aside.mkdir()
            weights = {name: values.cpu() for name, values in model.state_dict().items()}
            (aside / "model.safetensors").write_bytes(save(weights))
            write_json(aside / "model.json", {"model": params.model.model_dump(), "words": words})
        write_json(METRICS, best.summary() if best else {})


if __name__ == "__main__":
    run(main)
