"""Export the model to ONNX, to run without TensorFlow and PyTorch, and check that its predictions are the same."""

from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq

from src.core.errors import run
from src.core.files import atomic_write, read_json, write_json
from src.core.params import Language, Params, read_params
from src.evaluation.decisions import class_prior
from src.learning.classification import predict
from src.learning.model import load_model
from src.learning.training import be_deterministic
from src.serving.onnx_export import build_onnx
from src.serving.parity import AWKWARD, check_parity
from src.serving.predictor import DESCRIPTION, EXPORTED_MODEL, NETWORK, VOCABULARY, ModelDescription, Predictor, md5
from src.tables.review_parquet import list_parts
from src.text.cleaning import Cleaners
from src.text.encoded import EncodedReviews, load_encoded
from src.text.stop_words import find_stop_words
from src.text.tokenizer import load_tokenizer

PREPARED = Path("data/prepare")
LANGUAGE = PREPARED / "language.json"
ENCODED = Path("data/encode")
RESAMPLED = Path("data/resample")
MODEL = Path("models/train")
PACKAGES = ("nltk", "onnx", "py3langid", "regex", "torch")


def main() -> None:
    params = read_params(Path("params.yaml"))
    be_deterministic(params.train.threads)
    texts = pq.read_table(PREPARED / "valid.parquet", columns=["text"]).column("text").to_pylist()
    texts += AWKWARD
    shift = np.array(read_json(RESAMPLED / "log_prior_shift.json"))
    model = load_model(MODEL, len(shift))
    weights = {name: values.numpy() for name, values in model.state_dict().items()}

    clean = Cleaners(params.clean, find_stop_words).for_table(read_json(LANGUAGE))
    ids, lengths = load_tokenizer(ENCODED / "tokenizer")([clean(text) for text in texts])
    reviews = EncodedReviews(ids, np.cumsum([0, *lengths]), np.zeros(len(texts), np.int64))
    probabilities = predict(model, reviews, shift)

    with atomic_write(EXPORTED_MODEL) as temporary:
        temporary.mkdir()
        (temporary / NETWORK).write_bytes(build_onnx(model.settings, weights, shift))
        (temporary / VOCABULARY).write_bytes((ENCODED / "vocabulary.txt").read_bytes())
        files = {name: md5(temporary / name) for name in (NETWORK, VOCABULARY)}
        write_json(temporary / DESCRIPTION, describe(params, files).model_dump())
        difference = check_parity(texts, reviews, probabilities, Predictor(temporary), params.export.tolerance)
    print(f"export: same word ids and probabilities for {len(texts)} texts; largest difference {difference:.0e}")


def describe(params: Params, files: dict[str, str]) -> ModelDescription:
    """Describe what a predictor needs besides network and vocabulary; nothing in it depends on the machine."""
    language = read_json(LANGUAGE)
    words = {name: find_stop_words(name) for name in (get_args(Language) if language == "mixed" else [language])}
    stars = read_json(ENCODED / "stars.json")
    labels = load_encoded(ENCODED / "train").labels
    reviews = [part for split in ("train", "valid") for part in list_parts(PREPARED / f"{split}.parquet")]
    made_from = [*reviews, MODEL / "model.safetensors"]
    made_by: dict[str, Any] = {
        "base.seed": params.base.seed,
        "encode": params.encode.model_dump(),
        "model": params.model.model_dump(),
        "prepare": params.prepare.model_dump(),
        "pretrain": params.pretrain.model_dump(exclude={"vectors_path"}),
        "resample": params.resample.model_dump(),
        "teach": params.teach.model_dump(),
        "train": params.train.model_dump(),
    }
    return ModelDescription(
        text_column=params.data.text_column,
        missing=params.data.missing,
        header=params.data.header,
        language=language,
        clean=params.clean,
        stop_words={name: sorted(listed.stop) for name, listed in words.items()},
        kept_words={name: sorted(listed.kept) for name, listed in words.items()},
        max_length=params.encode.max_length,
        stars=stars,
        decision=params.evaluate.decision,
        prior=class_prior(labels, len(stars)).tolist(),
        files=files,
        made_from={path.as_posix(): md5(path) for path in made_from},
        params=made_by,
        versions={name: version(name).partition("+")[0] for name in PACKAGES},
    )


if __name__ == "__main__":
    run(main)
