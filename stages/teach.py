"""Let a transformer, the teacher, learn from the train split, and rate the texts that train also learns from.

These texts are the transfer set: the extra reviews and variations of the train reviews, never a text of the valid or
the test split. Without a teacher, the transfer set is the extra reviews, without probabilities.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from src.core.errors import run
from src.core.files import atomic_write, read_array, write_array, write_json
from src.core.params import Params, Teach, read_params
from src.core.progress import progress_bar
from src.core.schema import EXTRA, PROBABILITIES, STARS, letters_and_digits, normalised_text
from src.learning.curves import write_empty_curves
from src.tables.review_parquet import TRANSFER_SCHEMA, ReviewWriter, read_parts

if TYPE_CHECKING:  # without a teacher, the stage imports neither NumPy nor PyTorch
    import numpy as np

    from src.learning.teacher import Teacher

INPUT = Path("data/prepare")
OUTPUT = Path("data/teach")
METRICS = Path("metrics/teach.json")
CURVES = Path("plots/teach")
RATED_AT_ONCE = 2000
"""Texts that are rated between two points from which a killed run can continue."""

Rate = Callable[[Sequence[str]], "np.ndarray"]
"""Predicts the probabilities of texts, float32 [texts, classes]."""


class Split(NamedTuple):
    """The texts, languages and ratings of a split."""

    texts: list[str]
    languages: list[str | None]
    ratings: list[int]


def main() -> None:
    params = read_params(Path("params.yaml"))
    if params.teach.model:
        teach(params, params.teach.model)
        return
    with atomic_write(OUTPUT) as temporary:
        temporary.mkdir()
        write_transfer(temporary / "transfer.parquet", varied=[], rate=None)
    write_empty_curves(CURVES)
    write_json(METRICS, {})


def teach(params: Params, model: str) -> None:
    """Train the teacher; write its probabilities of the train and the test split, and the transfer set."""
    import numpy as np
    import torch

    from src.core.fingerprints import fingerprint
    from src.core.seeds import seed_for
    from src.learning.checkpoints import CHECKPOINTS, resumable
    from src.learning.live_logger import LiveLogger
    from src.learning.teacher import find_model, fine_tuning, load_teacher
    from src.learning.training import be_deterministic, choose_device, fit

    settings, seed = params.teach, seed_for(params.base.seed, "teach")
    be_deterministic(params.train.threads)
    folder = find_model(model)
    torch.manual_seed(seed_for(seed, "weights"))
    teacher = load_teacher(settings, folder, len(STARS)).to(choose_device(params.train.device))
    train, valid, test = map(read_split, ("train", "valid", "test"))
    labels, valid_labels = (np.searchsorted(STARS, split.ratings) for split in (train, valid))
    task = fine_tuning(teacher, (train.texts, labels), (valid.texts, valid_labels), settings)
    values = [seed, settings.model_dump(), params.train.device, params.train.threads]
    with resumable(CHECKPOINTS / fingerprint([INPUT, folder], values), settings.resume) as checkpoint:
        with LiveLogger(CURVES, METRICS) as curves:
            best = fit(task, settings, seed, curves.log_epoch, checkpoint)
        rate = resumable_rate(teacher, settings.batch_size, checkpoint.path.parent)
        with atomic_write(OUTPUT) as temporary:
            temporary.mkdir()
            write_array(temporary / "train.npy", rate(train.texts))
            pq.write_table(pa.table(columns_of(rate(test.texts))), temporary / "teacher.parquet")
            varied = variations(train, [*valid.texts, *test.texts], settings, seed_for(seed, "variations"))
            counts = write_transfer(temporary / "transfer.parquet", varied, rate)
        write_json(METRICS, {"teach": (best.summary() if best else {}) | {"transfer": counts}})
    print(f"teach: rated {counts['extra']} extra reviews and {counts['variations']} variations of train reviews")


def read_batches(split: str) -> Iterator[Split]:
    """Yield the reviews of a split in batches."""
    for batch in read_parts(INPUT / f"{split}.parquet"):
        yield Split(*(batch.column(name).to_pylist() for name in ("text", "language", "rating")))


def read_split(split: str) -> Split:
    """Read all reviews of a split."""
    whole = Split([], [], [])
    for part in read_batches(split):
        whole.texts.extend(part.texts)
        whole.languages.extend(part.languages)
        whole.ratings.extend(part.ratings)
    return whole


def resumable_rate(teacher: "Teacher", batch_size: int, folder: Path) -> Rate:
    """Return the function that rates texts. It saves its results in `folder`, from which a later run reads them.

    The later run must rate the same texts in the same order.
    """
    import numpy as np

    from src.learning.classification import predict

    numbers = count()

    def rate_part(texts: Sequence[str]) -> np.ndarray:
        path = folder / f"rated-{next(numbers)}.npy"
        if not path.exists():
            probabilities = predict(teacher, teacher.encode(texts), np.zeros(len(STARS)), batch_size)
            write_array(path, probabilities.astype(np.float32))
        return read_array(path)

    def rate(texts: Sequence[str]) -> np.ndarray:
        starts = progress_bar(range(0, len(texts), RATED_AT_ONCE), desc="rate", leave=False)
        parts = [rate_part(texts[start : start + RATED_AT_ONCE]) for start in starts]
        return np.concatenate([np.zeros((0, len(STARS)), np.float32), *parts])

    return rate


def variations(train: Split, held_out: Iterable[str], settings: Teach, seed: int) -> Iterator[Split]:
    """Yield variations of train reviews, with their languages, in parts; none is nearly equal to a held-out text."""
    from src.text.variations import vary

    seen = {letters_and_digits(normalised_text(text)) for text in held_out}
    part = Split([], [], [])
    for position, text in vary(train.texts, settings, seed):
        letters = letters_and_digits(normalised_text(text))
        if letters not in seen:
            seen.add(letters)
            part.texts.append(text)
            part.languages.append(train.languages[position])
        if len(part.texts) == RATED_AT_ONCE:
            yield part
            part = Split([], [], [])
    yield part


def write_transfer(path: Path, varied: Iterable[Split], rate: Rate | None) -> dict[str, int]:
    """Write the extra reviews and the variations, with probabilities if there is a teacher; return how many of both."""
    counts = {"extra": 0, "variations": 0}
    with ReviewWriter(path, TRANSFER_SCHEMA) as writer:
        for name, parts in (("extra", read_batches(EXTRA)), ("variations", varied)):
            for part in parts:
                table = transfer_table(part, name == "variations", rate(part.texts) if rate else None)
                writer.add(table)
                counts[name] += len(table)
    return counts


def transfer_table(part: Split, variation: bool, probabilities: "np.ndarray | None") -> pa.Table:
    """Return a part of the transfer set, as TRANSFER_SCHEMA."""
    size = len(part.texts)
    columns = {"text": part.texts, "language": part.languages, "variation": [variation] * size}
    columns |= dict.fromkeys(PROBABILITIES, [None] * size) if probabilities is None else columns_of(probabilities)
    return pa.table(columns, TRANSFER_SCHEMA)


def columns_of(probabilities: "np.ndarray") -> dict[str, "np.ndarray"]:
    """Return the column of each class, float32 [texts]."""
    return dict(zip(PROBABILITIES, probabilities.T.copy(), strict=True))


if __name__ == "__main__":
    run(main)
