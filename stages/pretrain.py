"""Pre-train the embedding as a language model, without ratings, starting from word vectors if there are any."""

from pathlib import Path

from src.core.cpu_dispatch import choose_kernels
from src.core.errors import UserError, run
from src.core.params import Params, read_params

choose_kernels(__name__, Path("params.yaml"))  # before the imports: libraries choose their kernels on import

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import save

from src.core.files import atomic_write, read_json, write_json
from src.core.fingerprints import fingerprint
from src.core.seeds import seed_for
from src.formats.sources import is_data_file, open_text, readable
from src.learning.checkpoints import CHECKPOINTS, resumable
from src.learning.curves import write_empty_curves
from src.learning.language_model import LanguageModel, LanguageModelTask
from src.learning.live_logger import LiveLogger
from src.learning.model import initialize_embedding
from src.learning.training import be_deterministic, choose_device, fit
from src.text.cleaning import Cleaners
from src.text.encoded import concatenate, load_encoded
from src.text.stop_words import find_stop_words
from src.text.vocabulary import FIRST_WORD, PADDING, read_vocabulary, word_ids
from src.text.word_vectors import average_vectors, coverage

LANGUAGE = Path("data/prepare/language.json")
TRANSFER = Path("data/teach/transfer.parquet")
ENCODED = Path("data/encode")
OUTPUT = Path("models/pretrain")
METRICS = Path("metrics/pretrain.json")
CURVES = Path("plots/pretrain")


def main() -> None:
    params = read_params(Path("params.yaml"))
    be_deterministic(params.train.threads)
    settings = params.pretrain
    train_split, valid_split, transfer = (load_encoded(ENCODED / name) for name in ("train", "valid", "transfer"))
    reviews, mean_length = len(train_split.labels), len(train_split.ids) / len(train_split.labels)
    if settings.epochs and (reviews > settings.max_reviews or mean_length > settings.max_mean_length):
        print(f"pretrain: no pre-training, since it gains little on {reviews} reviews of {mean_length:.0f} words")
        settings = settings.model_copy(update={"epochs": 0})
    seed = seed_for(params.base.seed, "pretrain")
    ids = word_ids(read_vocabulary(ENCODED / "vocabulary.txt"))
    variation = pq.read_table(TRANSFER, columns=["variation"]).column("variation").to_numpy()
    vectors = read_vectors(params, ids)
    covered = coverage(vectors, train_split.ids, len(ids))
    if vectors:
        share, text_share = covered["vocabulary"], covered["words"]
        print(f"pretrain: vectors for {share:.1%} of the vocabulary, {text_share:.1%} of the words in the train split")

    torch.manual_seed(seed_for(seed, "weights"))
    network = LanguageModel(settings, FIRST_WORD + len(ids), params.model.embedding_dim)
    initialize_embedding(network.embedding, vectors)
    network.to(choose_device(params.train.device))
    task = LanguageModelTask(network, concatenate(train_split, transfer), valid_split)
    # The order of words in a variation is not that of a language.
    whole = np.concatenate([np.ones(len(train_split.labels), bool), ~variation])
    task.rows = task.rows[whole[task.rows]]
    inputs = [LANGUAGE, TRANSFER, ENCODED, Path(settings.vectors_path)]
    hardware = [params.train.device, params.train.threads, params.train.portable]
    values = [seed, params.model.embedding_dim, settings.model_dump(), hardware, params.clean.model_dump()]
    checkpoints = CHECKPOINTS / fingerprint(inputs, values)
    with resumable(checkpoints, settings.resume) as checkpoint:
        with LiveLogger(CURVES, METRICS) as curves:
            best = fit(task, settings, seed, curves.log_epoch, checkpoint)
        embedding = network.embedding.weight.detach().cpu()
        embedding[PADDING] = 0  # the softmax uses the embedding too, and so has trained this row
        weights = {"embedding.weight": embedding} if best or vectors else {}
        if not best:
            write_empty_curves(CURVES)
        with atomic_write(OUTPUT) as temporary:
            temporary.mkdir()
            (temporary / "model.safetensors").write_bytes(save(weights))
        write_json(METRICS, {"pretrain": (best.summary() if best else {}) | {"vectors": covered}})


def read_vectors(params: Params, ids: dict[str, int]) -> dict[int, np.ndarray]:
    """Read the word vectors by word id, if there are any."""
    path = Path(params.pretrain.vectors_path)
    files = files_at(path)
    if len(files) > 1:
        raise UserError(
            f"{path}: {len(files)} files; keep only one file of word vectors, or name it in pretrain.vectors_path"
        )
    for file in files:
        with readable(file), open_text(file, "utf-8") as lines:
            language = read_json(LANGUAGE)  # of a single word it cannot be found
            clean = Cleaners(params.clean, find_stop_words)["other" if language == "mixed" else language]
            return average_vectors(lines, str(file), clean, ids, params.model.embedding_dim)
    return {}


def files_at(path: Path) -> list[Path]:
    """List a file, or the files of a folder sorted by name, without those whose names begin with a dot or _.

    Raises:
        UserError: the path does not exist.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; correct pretrain.vectors_path")
    return [path] if path.is_file() else sorted(file for file in path.iterdir() if is_data_file(file.name))


if __name__ == "__main__":
    run(main)
