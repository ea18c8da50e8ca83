"""Write the model so that it runs without TensorFlow and PyTorch, and prove that it says the same."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.numpy import load_file

from src.core.errors import run
from src.core.files import read_json, replacing, write_json
from src.core.params import Model, Params, read_params
from src.learning.classification import predict
from src.learning.model import ReviewModel
from src.learning.training import be_deterministic
from src.serving.onnx_export import build_onnx
from src.serving.parity import AWKWARD, check_parity
from src.serving.predictor import DESCRIPTION, NETWORK, VOCABULARY, Description, Scorer, md5
from src.tables.review_parquet import list_parts
from src.text.cleaning import make_cleaner
from src.text.encoded import Reviews, load_reviews
from src.text.stop_words import function_words
from src.text.tokenizer import load_tokenizer

PREPARED = Path("data/prepare")
ENCODED = Path("data/encode")
RESAMPLED = Path("data/resample")
MODEL = Path("models/train")
OUTPUT = Path("models/export")
PACKAGES = ("nltk", "onnx", "torch")


def main() -> None:
    params = read_params(Path("params.yaml"))
    be_deterministic(params.train.threads)
    texts = pq.read_table(PREPARED / "valid.parquet", columns=["text"]).column("text").to_pylist()
    texts += AWKWARD
    shift = np.array(read_json(RESAMPLED / "log_prior_shift.json"))
    built = read_json(MODEL / "model.json")
    settings = Model(**built["model"])
    weights = load_file(MODEL / "model.safetensors")

    clean = make_cleaner(params.data.language, params.clean, function_words(params.data.language))
    ids, lengths = load_tokenizer(ENCODED / "tokenizer")([clean(text) for text in texts])
    reviews = Reviews(ids, np.cumsum([0, *lengths]), np.zeros(len(texts), np.int64))
    model = ReviewModel(settings, built["words"], len(shift))
    model.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
    probabilities = predict(model, reviews, shift)

    with replacing(OUTPUT) as aside:
        aside.mkdir()
        (aside / NETWORK).write_bytes(build_onnx(settings, weights, shift))
        (aside / VOCABULARY).write_bytes((ENCODED / "vocabulary.txt").read_bytes())
        files = {name: md5(aside / name) for name in (NETWORK, VOCABULARY)}
        write_json(aside / DESCRIPTION, describe(params, files).model_dump())
        difference = check_parity(texts, reviews, probabilities, Scorer(aside), params.export.tolerance)
    print(f"export: {len(texts)} texts as by TensorFlow and PyTorch; largest difference {difference:.0e}")


def describe(params: Params, files: dict[str, str]) -> Description:
    """Everything beside network and vocabulary; nothing that depends on the machine."""
    words = function_words(params.data.language)
    stars = read_json(ENCODED / "stars.json")
    labels = load_reviews(ENCODED / "train").labels
    reviews = [part for split in ("train", "valid") for part in list_parts(PREPARED / f"{split}.parquet")]
    made_from = [*reviews, MODEL / "model.safetensors"]
    made_by: dict[str, Any] = {
        "base.seed": params.base.seed,
        "encode": params.encode.model_dump(),
        "model": params.model.model_dump(),
        "prepare": params.prepare.model_dump(),
        "pretrain": params.pretrain.model_dump(exclude={"extra_path", "vectors_path"}),
        "resample": params.resample.model_dump(),
        "train": params.train.model_dump(),
    }
    return Description(
        text_column=params.data.text_column,
        language=params.data.language,
        clean=params.clean,
        stop_words=sorted(words.stop),
        kept_words=sorted(words.kept),
        max_length=params.encode.max_length,
        stars=stars,
        decision=params.evaluate.decision,
        prior=(np.bincount(labels, minlength=len(stars)) / len(labels)).tolist(),
        files=files,
        made_from={path.as_posix(): md5(path) for path in made_from},
        params=made_by,
        versions={name: version(name).partition("+")[0] for name in PACKAGES},
    )


if __name__ == "__main__":
    run(main)
