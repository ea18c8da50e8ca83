"""The teacher: a pre-trained transformer that learns to predict ratings and then rates texts for a smaller model.

Source: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015, https://arxiv.org/abs/1503.02531.
"""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from src.core.errors import UserError, excerpt
from src.core.params import Teach
from src.learning.classification import ClassificationTask
from src.text.encoded import EncodedReviews

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # of no use for short texts, and it warns after a fork
CONFIG, WEIGHTS = "config.json", "*.safetensors"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5", ".msgpack")
TOKENIZERS = {"tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model"}
TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
MISSING = "transformers is missing; pip install -r requirements-teach.txt, or leave teach.model empty"
MEMORY_FACTOR = 6
"""Memory that training takes, relative to the weights: weights, gradients, two moments, best weights, a checkpoint."""
MOST_UNKNOWN = 0.3
"""The largest share of word pieces that the tokenizer may not know."""


class Teacher(nn.Module):
    """A transformer with an output layer for the ratings; it is called as a ReviewModel is."""

    def __init__(self, transformer: Any, tokenizer: Any, settings: Teach) -> None:
        super().__init__()
        self.transformer, self.tokenizer = transformer, tokenizer
        self.max_length = min(settings.max_length, transformer.config.max_position_embeddings)
        self.precision = settings.precision

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Compute logits [batch, classes] from ids int64 [batch, pieces], padded on the right, and lengths int64."""
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits: Tensor = self.transformer(**self.inputs(ids, lengths)).logits
        return logits.float()

    def inputs(self, ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return what the transformer reads, int64 [batch, pieces]: ids with its own padding, and 1 for real pieces."""
        real = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        return {"input_ids": ids.masked_fill(~real, self.tokenizer.pad_token_id), "attention_mask": real.long()}

    def encode(self, texts: Sequence[str]) -> EncodedReviews:
        """Split texts into word pieces; the labels are all 0."""
        pieces = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)["input_ids"] if texts else []
        lengths = [len(each) for each in pieces]
        ids = np.fromiter((piece for each in pieces for piece in each), np.int32, sum(lengths))
        return EncodedReviews(ids, np.cumsum([0, *lengths]), np.zeros(len(lengths), np.int64))

    def unknown_share(self, reviews: EncodedReviews) -> float:
        """Return the share of word pieces that the tokenizer does not know."""
        return float((reviews.ids == self.tokenizer.unk_token_id).mean())


def load_teacher(settings: Teach, folder: Path, classes: int) -> Teacher:
    """Load a pre-trained transformer with a new output layer, whose weights are random.

    folder: what find_model returned.

    Raises:
        UserError: transformers is not installed, or the model is of another kind or damaged.
    """
    try:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        from transformers.utils import logging
    except ImportError:
        raise UserError(f"teach.model: {settings.model}: {MISSING}") from None
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        transformer = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=classes, use_safetensors=True, dtype=torch.float32, trust_remote_code=False
        )
        teacher = Teacher(transformer, tokenizer, settings)
        teacher(*(torch.ones(shape, dtype=torch.int64) for shape in ((1, 1), (1,))))
    except Exception as error:  # each kind of model and of damage raises its own
        problem = f"cannot be loaded as a classifier of texts ({excerpt(' '.join(str(error).split()))})"
        advice = "choose an encoder such as BERT, with its tokenizer"
        raise UserError(f"teach.model: {settings.model}: {problem}; {advice}") from None
    return teacher


def fine_tuning(
    teacher: Teacher, train: tuple[Sequence[str], np.ndarray], valid: tuple[Sequence[str], np.ndarray], settings: Teach
) -> ClassificationTask:
    """Return the task of predicting the classes of texts, for `fit`.

    train, valid: texts, and their classes, int64 [texts].

    Raises:
        UserError: the tokenizer does not know too many pieces of the train texts.
    """
    reviews, valid_reviews = (teacher.encode(texts)._replace(labels=labels) for texts, labels in (train, valid))
    if (unknown := teacher.unknown_share(reviews)) > MOST_UNKNOWN:
        problem = f"its tokenizer does not know {unknown:.0%} of the train split"
        advice = "choose a model that was trained on texts in this language"
        raise UserError(f"teach.model: {settings.model}: {problem}; {advice}")
    rows, no_shift = np.arange(len(reviews.labels)), np.zeros(teacher.transformer.config.num_labels)
    return ClassificationTask(teacher, reviews, rows, valid_reviews, no_shift, settings.batch_size)


def find_model(name: str) -> Path:
    """Return the folder of a model: `name` itself, or that of the installed package, or of the copy from the hub.

    Raises:
        UserError: there is no such folder, package or hub name, or the folder holds no model that can be loaded safely.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir() and folder.parts == (name,):
        spec = find_spec(name.replace("-", "_")) if name.replace("-", "_").isidentifier() else None
        places = spec.submodule_search_locations if spec else None
        found = [file.parent for place in places or () for file in sorted(Path(place).rglob(CONFIG))]
        folder = next((each for each in found if any(each.glob(WEIGHTS))), folder)
    if not folder.is_dir():
        if len(folder.parts) != 2 or folder.is_absolute() or folder.exists() or name[0] in ".~":
            problem = "no such folder, and no installed package that holds a model"
            raise UserError(f"teach.model: {name}: {problem}; correct the name, or pip install the package")
        folder = download(name)
    check_folder(folder, name)
    return folder


def download(name: str) -> Path:
    """Copy what is safe of a model on the Hugging Face hub, unless an earlier run has; return its folder.

    Raises:
        UserError: it cannot be copied.
    """
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS, *TOKENIZERS, *TOKENIZER_SETTINGS]))
    except ImportError:
        raise UserError(f"teach.model: {name}: {MISSING}") from None
    except Exception as error:  # no network, no such name, no permission, a full disk
        problem = f"no such folder, and it cannot be copied from the hub ({excerpt(' '.join(str(error).split()))})"
        raise UserError(f"teach.model: {name}: {problem}; correct the name, or check the network") from None


def check_folder(folder: Path, name: str) -> None:
    """Refuse a folder without a configuration, safetensors or tokenizer, or with more weights than fit in memory."""
    files = {file.name for file in folder.iterdir()}
    if CONFIG not in files:
        raise UserError(f"teach.model: {name}: no {CONFIG} in this folder; it must be in the layout of Hugging Face")
    weights = list(folder.glob(WEIGHTS))
    if not weights:
        pickles = [file for file in sorted(files) if Path(file).suffix in PICKLES]
        found = f"; {pickles[0]} may run code when it is loaded and is never read" if pickles else ""
        raise UserError(f"teach.model: {name}: no model.safetensors in this folder{found}; convert it to safetensors")
    if not TOKENIZERS & files:
        raise UserError(f"teach.model: {name}: no tokenizer in this folder; add its tokenizer.json")
    size, memory = sum(file.stat().st_size for file in weights), psutil.virtual_memory().total
    if size * MEMORY_FACTOR > memory:
        problem = f"{size / 1e9:.1f} GB of weights need {size * MEMORY_FACTOR / 1e9:.0f} GB of memory to be trained"
        raise UserError(f"teach.model: {name}: {problem}, this machine has {memory / 1e9:.0f}; choose a smaller model")
