"""Train the recurrent model and keep the epoch with the lowest validation loss."""

import os
from pathlib import Path

from src.core.cpu_dispatch import choose_kernels
from src.core.errors import UserError, run
from src.core.params import Params, read_params

choose_kernels(__name__, Path("params.yaml"))  # before the imports: libraries choose their kernels on import

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from src.core.files import atomic_write, read_array, read_json, write_json
from src.core.fingerprints import fingerprint
from src.core.schema import PROBABILITIES
from src.core.seeds import seed_for
from src.learning.checkpoints import CHECKPOINTS, resumable
from src.learning.classification import ClassificationTask
from src.learning.distillation import mix_rows, soft_targets
from src.learning.distributed import is_launched, is_main_process, process_group, world_size
from src.learning.launcher import launch
from src.learning.live_logger import LiveLogger
from src.learning.model import ReviewModel, save_model
from src.learning.training import be_deterministic, choose_device, fit
from src.text.encoded import EncodedReviews, concatenate, load_encoded
from src.text.vocabulary import FIRST_WORD, read_vocabulary

ENCODED = Path("data/encode")
RESAMPLED = Path("data/resample")
TAUGHT = Path("data/teach")
PRETRAINED = Path("models/pretrain")
OUTPUT = Path("models/train")
METRICS = Path("metrics/train.json")
CURVES = Path("plots/train")


def main() -> None:
    params = read_params(Path("params.yaml"))
    if params.train.processes > 1 and not is_launched():
        launch(params.train.processes)
        return
    if is_launched() and (started := int(os.environ["WORLD_SIZE"])) != params.train.processes:
        raise UserError(
            f"train.processes: {params.train.processes}, but {started} processes were started; set it to {started}, "
            "so that dvc.lock records the number on which the weights depend"
        )
    be_deterministic(params.train.threads)
    device = choose_device(params.train.device)
    with process_group(device):
        train(params, device)


def train(params: Params, device: torch.device) -> None:
    """Train, alone or as one of several ranks; the main process writes the results."""
    seed = params.base.seed
    words = FIRST_WORD + len(read_vocabulary(ENCODED / "vocabulary.txt"))
    shift = np.array(read_json(RESAMPLED / "log_prior_shift.json"))
    rows = read_array(RESAMPLED / "rows.npy")
    train_split, valid_split = load_encoded(ENCODED / "train"), load_encoded(ENCODED / "valid")
    targets = None
    if (TAUGHT / "train.npy").exists():
        train_split, rows, targets = add_transfer_set(params, train_split, rows, shift)

    torch.manual_seed(seed_for(seed, "weights"))
    model = ReviewModel(params.model, words, len(shift))
    model.load_state_dict(model.state_dict() | load_file(PRETRAINED / "model.safetensors"))
    task = ClassificationTask(model.to(device), train_split, rows, valid_split, shift, targets=targets)
    teach = [params.teach.weight, params.teach.label_share]
    values = [seed, params.model.model_dump(), params.train.model_dump(), teach, world_size()]
    checkpoints = CHECKPOINTS / fingerprint([ENCODED, RESAMPLED, PRETRAINED, TAUGHT], values)
    with resumable(checkpoints, params.train.resume) as checkpoint:
        if not is_main_process():
            fit(task, params.train, seed, lambda epoch: None, checkpoint)
            return
        with LiveLogger(CURVES, METRICS) as curves:
            best = fit(task, params.train, seed, curves.log_epoch, checkpoint)
        with atomic_write(OUTPUT) as temporary:
            temporary.mkdir()
            save_model(temporary, model)
        write_json(METRICS, best.summary() if best else {})


def add_transfer_set(
    params: Params, train_split: EncodedReviews, rows: np.ndarray, shift: np.ndarray
) -> tuple[EncodedReviews, np.ndarray, np.ndarray]:
    """Return the train split and the transfer set, the rows of an epoch, and the probabilities to learn."""
    table = pq.read_table(TAUGHT / "transfer.parquet", columns=list(PROBABILITIES))
    transfer = np.stack([table.column(name).to_numpy() for name in PROBABILITIES], axis=1)
    taught = read_array(TAUGHT / "train.npy")
    targets = soft_targets(train_split.labels, taught, transfer, shift, params.teach.weight)
    seed = seed_for(params.base.seed, "mix")
    rows = mix_rows(rows, len(train_split.labels), len(transfer), params.teach.label_share, seed)
    return concatenate(train_split, load_encoded(ENCODED / "transfer")), rows, targets


if __name__ == "__main__":
    run(main)
