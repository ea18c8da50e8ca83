"""Teach the embedding which word follows, before any stars are looked at.

It starts from word vectors made elsewhere, if there are any.
"""

from collections import Counter
from pathlib import Path

from src.core.cpu_dispatch import choose_kernels
from src.core.errors import UserError, run
from src.core.params import Params, read_params

choose_kernels(__name__, Path("params.yaml"))  # before the imports below, which choose theirs

import numpy as np
import torch
from safetensors.torch import save

from src.core.files import atomic_write, write_json
from src.core.fingerprints import fingerprint
from src.core.schema import SPLITS, text_digest
from src.core.seeds import seed_for
from src.learning.checkpoints import CHECKPOINTS, resumable
from src.learning.language_model import LanguageModel, LanguageModelTask
from src.learning.live_logger import LiveLogger
from src.learning.model import initialize_embedding
from src.learning.training import be_deterministic, choose_device, fit
from src.tables.readers import read_table
from src.tables.review_parquet import read_parts
from src.tables.sources import is_data_file, open_text, readable
from src.text.cleaning import make_cleaner
from src.text.encoded import EncodedReviews, load_encoded
from src.text.stop_words import find_stop_words
from src.text.unlabelled import concatenate, encode_unlabelled
from src.text.vocabulary import FIRST_WORD, PADDING
from src.text.word_vectors import average_vectors, coverage

PREPARED = Path("data/prepare")
ENCODED = Path("data/encode")
OUTPUT = Path("models/pretrain")
METRICS = Path("metrics/pretrain.json")
CURVES = Path("plots/pretrain")


def main() -> None:
    params = read_params(Path("params.yaml"))
    be_deterministic(params.train.threads)
    settings = params.pretrain
    seed = seed_for(params.base.seed, "pretrain")
    vocabulary = (ENCODED / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    ids = {word: number for number, word in enumerate(vocabulary, FIRST_WORD)}
    train_split, valid_split = load_encoded(ENCODED / "train"), load_encoded(ENCODED / "valid")
    extra, counts = read_extra(params, ids)
    vectors = read_vectors(params, ids)
    covered = coverage(vectors, train_split.ids, len(ids))
    if vectors:
        print(
            f"pretrain: vectors for {covered['vocabulary']:.1%} of the vocabulary, {covered['words']:.1%} of the text"
        )

    torch.manual_seed(seed_for(seed, "weights"))
    network = LanguageModel(settings, FIRST_WORD + len(ids), params.model.embedding_dim)
    initialize_embedding(network.embedding, vectors)
    network.to(choose_device(params.train.device))
    task = LanguageModelTask(network, concatenate(train_split, extra), valid_split)
    inputs = [PREPARED, ENCODED, Path(settings.extra_path), Path(settings.vectors_path)]
    how = [params.train.device, params.train.threads, params.train.portable]
    read = [params.data.model_dump(), params.clean.model_dump(), params.encode.max_length]
    checkpoints = CHECKPOINTS / fingerprint(
        inputs, [seed, params.model.embedding_dim, settings.model_dump(), how, read]
    )
    with resumable(checkpoints, settings.resume) as checkpoint:
        with LiveLogger(CURVES, METRICS) as curves:
            best = fit(task, settings, seed, curves.log_epoch, checkpoint)
        embedding = network.embedding.weight.detach().cpu()
        embedding[PADDING] = 0  # the softmax has moved it
        weights = {"embedding.weight": embedding} if best or vectors else {}
        if not best:
            write_empty_curves()
        with atomic_write(OUTPUT) as temporary:
            temporary.mkdir()
            (temporary / "model.safetensors").write_bytes(save(weights))
        write_json(METRICS, {"pretrain": (best.summary() if best else {}) | {"extra": counts, "vectors": covered}})


def write_empty_curves() -> None:
    """Write curves without an epoch: Git would lose an empty folder, and `dvc plots` wants the files."""
    for part in ("train", "valid"):
        folder = CURVES / "metrics" / part
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "loss.tsv").write_text("step\tloss\n", encoding="utf-8")


def read_extra(params: Params, ids: dict[str, int]) -> tuple[EncodedReviews, Counter[str]]:
    """Read the reviews beside the table, if there are any; the columns are those of the table, but for the rating."""
    paths = files_at(Path(params.pretrain.extra_path))
    if not paths:
        return encode_unlabelled([], set(), str, ids, params.encode.max_length)
    known: set[bytes] = set()
    for split in SPLITS:
        for part in read_parts(PREPARED / f"{split}.parquet"):
            known.update(map(text_digest, part.column("text").to_pylist()))
    # The table reader wants two columns; the second is not looked at.
    data = params.data.model_copy(update={"rating_column": params.data.text_column, "split_column": None})
    rows = (row for path in paths for row in read_table(path, data).rows)
    clean = make_cleaner(data.language, params.clean, find_stop_words(data.language))
    extra, counts = encode_unlabelled(rows, known, clean, ids, params.encode.max_length)
    print(f"pretrain: more reviews from {params.pretrain.extra_path}: {dict(counts)}")
    return extra, counts


def read_vectors(params: Params, ids: dict[str, int]) -> dict[int, np.ndarray]:
    """Read the word vectors, if there are any, by the ids of the words."""
    place = Path(params.pretrain.vectors_path)
    paths = files_at(place)
    if len(paths) > 1:
        raise UserError(f"{place}: {len(paths)} files; one file of word vectors is wanted")
    for path in paths:
        with readable(path), open_text(path, "utf-8") as lines:
            clean = make_cleaner(params.data.language, params.clean, find_stop_words(params.data.language))
            return average_vectors(lines, str(path), clean, ids, params.model.embedding_dim)
    return {}


def files_at(place: Path) -> list[Path]:
    """Give the file, or the files of a folder in the order of their names, those that begin with a dot or _ left out.

    Raises:
        UserError: there is no such place.
    """
    if not place.exists():
        raise UserError(f"{place}: no such file or folder; mend pretrain.extra_path or pretrain.vectors_path")
    return [place] if place.is_file() else sorted(path for path in place.iterdir() if is_data_file(path.name))


if __name__ == "__main__":
    run(main)
