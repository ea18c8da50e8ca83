"""Every setting of params.yaml with its type and range; the error for anything else names the key."""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from src.core.errors import UserError
from src.core.files import parse_yaml, require_file

Language = Literal[
    "arabic",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "hungarian",
    "italian",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "spanish",
    "swedish",
    "other",
]
"""A language that texts are cleaned in: those of the Snowball stemmers, and `other` for any other language."""
TableLanguage = Literal[Language, "mixed"]
"""The language of a table; in a mixed one it is found for each review."""
Decision = Literal["argmax", "balanced", "posterior_median"]
Cell = Literal["lstm", "gru", "rnn"]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Column = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value), Field(min_length=1)]
"""The name of a column, or its number in a table without a header."""
RatingCell = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) in (int, float) else value)]
"""What a cell of the rating column holds."""

MESSAGES = {  # clearer than those of pydantic; only data.separator has a pattern
    "model_type": "must contain lines of the form key: value",
    "string_pattern_mismatch": "must be auto or one character, neither a quote nor a line end",
}


class Section(BaseModel):
    """A section of params.yaml: exact types, finite numbers, no unknown keys, no hidden defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Base(Section):
    seed: Seed


class Data(Section):
    path: Annotated[str, Field(min_length=1)]
    extra_path: Annotated[str, Field(min_length=1)]
    text_column: Column | Annotated[list[Column], Field(min_length=1)]
    rating_column: Column
    rating_scale: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    rating_map: dict[RatingCell, Annotated[int, Field(ge=1, le=5)]] | None
    missing: list[str]
    split_column: Column | None
    slice_columns: list[Column]
    language: Literal[TableLanguage, "auto"]
    format: Literal["auto", "csv", "json", "jsonl", "parquet", "excel"]
    header: bool
    encoding: Annotated[str, Field(min_length=1)]
    separator: Annotated[str, Field(pattern=r'^(auto|[^"\r\n])$')]
    quoting: Literal["auto", "double", "none"]
    url_timeout: Annotated[float, Field(gt=0)]
    url_max_mb: Count
    max_text: Annotated[int, Field(ge=1, le=1_000_000)]
    max_unpacked_mb: Count

    @property
    def text_columns(self) -> list[str]:
        """The columns with the parts of a text."""
        return [self.text_column] if isinstance(self.text_column, str) else self.text_column


class Engine(Section):
    name: Literal["local", "dask"]
    scheduler: str | None
    workers: Count
    memory: Annotated[float, Field(gt=0)]


class Synthesize(Section):
    reviews: Count
    seed: Seed


class Prepare(Section):
    valid_share: Share
    test_share: Share
    split_salt: str
    max_rejected: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _check_train_share(self) -> "Prepare":
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share + test_share must be below 1, or nothing is left to train on")
        return self


class Clean(Section):
    normalise_unicode: bool
    remove_markup: bool
    squeeze_elongation: bool
    keep_emoji: bool
    keep_marks: bool
    remove_stop_words: bool
    keep_negations: bool
    stemmer: Literal["none", "snowball", "porter"]


class Encode(Section):
    min_count: Count
    extra_min_count: Count
    vocabulary_size: Count
    max_length: Count


class Resample(Section):
    strategy: Literal["none", "over", "under", "both"]
    threshold: Annotated[float, Field(ge=1)]
    amount: Annotated[float, Field(ge=0, le=1)]
    correct_prior: bool


class Model(Section):
    cell: Cell
    embedding_dim: Count
    hidden_size: Count
    num_layers: Count
    bidirectional: bool
    pooling: Literal["max_mean", "max", "mean", "last"]
    dropout: Share
    word_dropout: Share
    bag_of_words: bool
    word_pairs: Annotated[int, Field(ge=0, le=2**24)]


class TrainingLoop(Section):
    """Settings that pretrain and train share."""

    patience: Count
    batch_size: Count
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_ratio: Annotated[float, Field(gt=0, lt=1)]
    max_grad_norm: Annotated[float, Field(gt=0)]
    precision: Literal["float32", "bfloat16"]
    checkpoint_steps: Count
    resume: bool
    epochs: Annotated[int, Field(ge=0)]
    min_steps: Annotated[int, Field(ge=0)]


class Pretrain(TrainingLoop):
    max_reviews: Count
    max_mean_length: Annotated[float, Field(gt=0)]
    dropout: Share
    word_dropout: Share
    softmax_words: Count
    vectors_path: Annotated[str, Field(min_length=1)]


class Teach(TrainingLoop):
    model: Annotated[str, Field(min_length=1)] | None
    epochs: Count
    max_length: Annotated[int, Field(ge=8)]
    variations: Annotated[int, Field(ge=0)]
    drop_share: Annotated[float, Field(ge=0, le=1)]
    ngram_share: Annotated[float, Field(ge=0, le=1)]
    dropped_words: Share
    ngram_words: Count
    weight: Annotated[float, Field(ge=0, le=1)]
    label_share: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _check_shares(self) -> "Teach":
        if self.drop_share + self.ngram_share > 1:
            raise ValueError("drop_share + ngram_share must be at most 1; the rest of the variations are joined texts")
        return self


class Train(TrainingLoop):
    epochs: Count
    threads: Count
    processes: Count
    portable: bool
    device: Literal["auto", "cpu", "cuda"]


class Baseline(Section):
    ngrams: Count
    min_count: Count
    C: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]


class Evaluate(Section):
    decision: Decision
    bootstrap: Annotated[int, Field(ge=100)]
    bins: Annotated[int, Field(ge=2)]
    mistakes: Annotated[int, Field(ge=0)]
    explained: Annotated[int, Field(ge=0)]


class Export(Section):
    tolerance: Annotated[float, Field(gt=0, le=0.01)]


class Params(Section):
    """All of params.yaml; each field is a section."""

    base: Base
    data: Data
    engine: Engine
    synthesize: Synthesize
    prepare: Prepare
    teach: Teach
    clean: Clean
    encode: Encode
    resample: Resample
    model: Model
    pretrain: Pretrain
    train: Train
    baseline: Baseline
    evaluate: Evaluate
    export: Export


def read_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: the message names the file and every key that is unknown, missing, of a wrong type or out of range.
    """
    require_file(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run from the root folder of the repository") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid UTF-8 ({error}); save it as UTF-8") from None
    return check_params(parse_yaml(text, str(path)), str(path))


def check_params(raw: Any, name: str) -> Params:
    """Check the content of params.yaml as read_params does; `name` is the file in error messages."""
    try:
        return Params.model_validate(raw)
    except ValidationError as errors:
        problems = [_describe(dict(error)) for error in errors.errors()]
        raise UserError(f"{name}: " + "; ".join(problems)) from None


def _describe(error: dict[str, Any]) -> str:
    location = error["loc"]
    key = ".".join(str(part) for part in location) or "the file"
    if error["type"] == "extra_forbidden":
        section: type[BaseModel] = Params
        for part in location[:-1]:
            section = section.model_fields[str(part)].annotation  # type: ignore[assignment]
        near = get_close_matches(str(location[-1]), section.model_fields, n=1)
        hint = f"did you mean {near[0]}?" if near else f"valid keys: {', '.join(section.model_fields)}"
        return f"{key}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{key}: missing; copy its line from git show HEAD:params.yaml"
    if error["type"] == "value_error":
        return f"{key}: {error['ctx']['error']}"
    message = MESSAGES.get(error["type"], error["msg"][0].lower() + error["msg"][1:])
    return f"{key}: {message}, not {error['input']!r}"
