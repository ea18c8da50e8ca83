"""Pre-train the embedding as a language model, without ratings, starting from word vectors if there are any."""

from collections import Counter
from pathlib import Path

from src.core.cpu_dispatch import choose_kernels
from src.core.errors import UserError, run
from src.core.params import Params, read_params

choose_kernels(__name__, Path("params.yaml"))  # before the imports: libraries choose their kernels on import

import numpy as np
import torch
from safetensors.torch import save

from src.core.files import atomic_write, read_json, write_json
from src.core.fingerprints import fingerprint
from src.core.schema import SPLITS, text_digest
from src.core.seeds import seed_for
from src.formats.sources import is_data_file, open_text, readable
from src.learning.checkpoints import CHECKPOINTS, resumable
from src.learning.language_model import LanguageModel, LanguageModelTask
from src.learning.live_logger import LiveLogger
from src.learning.model import initialize_embedding
from src.learning.training import be_deterministic, choose_device, fit
from src.tables.readers import read_table
from src.tables.review_parquet import read_parts
from src.text.cleaning import Cleaners
from src.text.encoded import EncodedReviews, load_encoded
from src.text.stop_words import find_stop_words
from src.text.unlabelled import concatenate, encode_unlabelled
from src.text.vocabulary import FIRST_WORD, PADDING, read_vocabulary, word_ids
from src.text.word_vectors import average_vectors, coverage

PREPARED = Path("data/prepare")
LANGUAGE = PREPARED / "language.json"
ENCODED = Path("data/encode")
OUTPUT = Path("models/pretrain")
METRICS = Path("metrics/pretrain.json")
CURVES = Path("plots/pretrain")


def main() -> None:
    params = read_params(Path("params.yaml"))
    be_deterministic(params.train.threads)
    settings = params.pretrain
    seed = seed_for(params.base.seed, "pretrain")
    ids = word_ids(read_vocabulary(ENCODED / "vocabulary.txt"))
    train_split, valid_split = load_encoded(ENCODED / "train"), load_encoded(ENCODED / "valid")
    extra, counts = read_extra(params, ids)
    vectors = read_vectors(params, ids)
    covered = coverage(vectors, train_split.ids, len(ids))
    if vectors:
        share, text_share = covered["vocabulary"], covered["words"]
        print(f"pretrain: vectors for {share:.1%} of the vocabulary, {text_share:.1%} of the words in the train split")

    torch.manual_seed(seed_for(seed, "weights"))
    network = LanguageModel(settings, FIRST_WORD + len(ids), params.model.embedding_dim)
    initialize_embedding(network.embedding, vectors)
    network.to(choose_device(params.train.device))
    task = LanguageModelTask(network, concatenate(train_split, extra), valid_split)
    inputs = [PREPARED, ENCODED, Path(settings.extra_path), Path(settings.vectors_path)]
    hardware = [params.train.device, params.train.threads, params.train.portable]
    reading = [params.data.model_dump(), params.clean.model_dump(), params.encode.max_length]
    values = [seed, params.model.embedding_dim, settings.model_dump(), hardware, reading]
    checkpoints = CHECKPOINTS / fingerprint(inputs, values)
    with resumable(checkpoints, settings.resume) as checkpoint:
        with LiveLogger(CURVES, METRICS) as curves:
            best = fit(task, settings, seed, curves.log_epoch, checkpoint)
        embedding = network.embedding.weight.detach().cpu()
        embedding[PADDING] = 0  # the softmax uses the embedding too, and so has trained this row
        weights = {"embedding.weight": embedding} if best or vectors else {}
        if not best:
            write_empty_curves()
        with atomic_write(OUTPUT) as temporary:
            temporary.mkdir()
            (temporary / "model.safetensors").write_bytes(save(weights))
        write_json(METRICS, {"pretrain": (best.summary() if best else {}) | {"extra": counts, "vectors": covered}})


def write_empty_curves() -> None:
    """Write curves without an epoch: `dvc plots` expects the files, and Git does not track an empty folder."""
    for part in ("train", "valid"):
        folder = CURVES / "metrics" / part
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "loss.tsv").write_text("step\tloss\n", encoding="utf-8")


def read_extra(params: Params, ids: dict[str, int]) -> tuple[EncodedReviews, Counter[str]]:
    """Read the extra reviews, if there are any; their text column is that of the table, and ratings are ignored."""
    paths = files_at(Path(params.pretrain.extra_path))
    if not paths:
        return encode_unlabelled([], set(), str, ids, params.encode.max_length)
    known: set[bytes] = set()
    for split in SPLITS:
        for part in read_parts(PREPARED / f"{split}.parquet"):
            known.update(map(text_digest, part.column("text").to_pylist()))
    # The reader needs a rating column, but nothing reads its values: name the text column twice.
    data = params.data.model_copy(update={"rating_column": params.data.text_columns[0], "split_column": None})
    rows = (row for path in paths for row in read_table(path, data).rows)
    clean = Cleaners(params.clean, find_stop_words).for_table(read_json(LANGUAGE))
    extra, counts = encode_unlabelled(rows, known, clean, ids, params.encode.max_length, data.missing)
    print(f"pretrain: more reviews from {params.pretrain.extra_path}: {dict(counts)}")
    return extra, counts


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
        raise UserError(f"{path}: no such file or folder; correct pretrain.extra_path or pretrain.vectors_path")
    return [path] if path.is_file() else sorted(file for file in path.iterdir() if is_data_file(file.name))


if __name__ == "__main__":
    run(main)
