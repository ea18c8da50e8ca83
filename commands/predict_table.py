"""Predict the reviews of one table: in parts, which a killed run has left, and then as one file like the input."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from src.core.errors import UserError
from src.core.files import atomic_write, file_state, resumable_parts, special_kind
from src.core.progress import progress_bar
from src.core.schema import read_text
from src.formats.record_files import FORMATS, FileFormat
from src.formats.sources import local_copy, local_path
from src.serving.predictor import Predictor, cached_predictor, md5
from src.tables.writers import Chunk, OutputTable, Reviews, open_table

DIGITS = 6
PART_SUFFIX = ".part"
SUM_SUFFIX = ".md5"
STANDARD_OUTPUT = ".any"
"""The suffix of the file that becomes standard output, which has no format in its name."""
EXPLAINED_WORDS = 5


class Options(NamedTuple):
    """How to predict a table; `work` identifies the other options and the content of the model.

    safe: whether texts are escaped so that a spreadsheet runs none as a formula.
    """

    model: Path
    columns: list[str] | None
    format: FileFormat
    explain: bool
    safe: bool
    resume: bool
    work: str


def predict_file(location: str, output: Path, options: Options, wait: bool = False) -> Counter[str | None]:
    """Predict one table. Returns the number of rows for each reason why they were not scored; None: scored.

    Raises:
        UserError: the table cannot be read or changed meanwhile, or the output cannot be written.
    """
    predictor = cached_predictor(options.model, options.work)
    description = predictor.description
    reviews = Reviews(options.columns or description.text_columns, description.missing, options.format.text_problem)
    # Names of columns that a model learnt from a table without a header are numbers.
    header = options.format.header and (description.header or options.columns is not None)
    names = list(added_columns(Chunk([], [], []), predictor, options.explain))
    with TemporaryDirectory() as folder:
        limit = options.format.unpack_limit
        path = local_copy(location, Path(folder), max_mb=limit.megabytes, option=limit.option)
        state = file_state(path) if path.exists() else ()
        how = options.format._replace(header=header)
        table = open_table(path, how, reviews, names, location, options.safe)
        check_output_name(output, table.kinds)
        with resumable_parts(output, f"{options.work} {md5(path)}", options.resume, wait=wait) as parts:
            counts = write_parts(parts, table, predictor, options.explain)
            if file_state(path) != state:
                raise UserError(f"{location}: changed while it was read; run again when it is complete")
            with atomic_write(output) as temporary:
                table.join(temporary, sorted(parts.glob(f"*{PART_SUFFIX}")))
    return counts


def write_parts(folder: Path, table: OutputTable, predictor: Predictor, explain: bool) -> Counter[str | None]:
    """Predict the chunks that have no part yet and write a part for each; count rows as predict_file does.

    The table is read twice: errors in it are reported before the work starts, and the progress bar knows the total.
    """
    counts: Counter[str | None] = Counter()
    with progress_bar(total=table.count(), desc="predict", unit=" reviews") as progress:
        for number, chunk in enumerate(table.chunks()):
            part = folder / f"{number:08}{PART_SUFFIX}"
            if is_whole(part):
                counts.update(reasons_of(chunk, predictor.reasons(chunk.cells)))
            else:
                added = added_columns(chunk, predictor, explain)
                with atomic_write(part) as temporary:
                    table.write(temporary, chunk, added, first=number == 0)
                part.with_suffix(SUM_SUFFIX).write_text(md5(part), encoding="ascii")
                counts.update(added["reason"])
            progress.update(len(chunk.cells))
    return counts


def is_whole(part: Path) -> bool:
    """Return whether an earlier run wrote a part, and it is still as it was written; else it is made again."""
    written = part.with_suffix(SUM_SUFFIX)
    return part.exists() and written.exists() and written.read_bytes() == md5(part).encode()


def reasons_of(chunk: Chunk, reasons: list[str | None]) -> list[str | None]:
    """Return for each row why it could not be read or, from `reasons`, cannot be scored; None if it can."""
    return [problem or reason for problem, reason in zip(chunk.problems, reasons, strict=True)]


def added_columns(chunk: Chunk, predictor: Predictor, explain: bool) -> dict[str, list[Any]]:
    """Return the new columns for the rows of a chunk: the predictions, or the reason why there are none."""
    predictions = predictor.predict(chunk.cells)
    reasons = reasons_of(chunk, predictions.reasons)
    is_text = [bool(read_text(cell)) for cell in chunk.cells]

    def where_scored(values: Sequence[Any]) -> list[Any]:
        return [value if reason is None else None for value, reason in zip(values, reasons, strict=True)]

    columns = {"predicted": where_scored(predictions.predicted.tolist())}
    for star, probabilities in zip(predictor.stars, predictions.probabilities.T, strict=True):
        columns[f"p{star}"] = where_scored(probabilities.round(DIGITS).tolist())
    columns["expected"] = where_scored(predictions.expected.round(DIGITS).tolist())
    for name in ("word_count", "known_words"):
        values = getattr(predictions, name).tolist()
        columns[name] = [value if text else None for value, text in zip(values, is_text, strict=True)]
    if explain:
        texts = [read_text(cell) or "" for cell in chunk.cells]
        columns["words"] = where_scored([format_effects(effects) for effects in predictor.explain(texts)])
    return columns | {"reason": reasons}


def format_effects(effects: list[tuple[str, float]]) -> str:
    """Format the words with the largest effects: "love +0.87, app -0.12"."""
    return ", ".join(f"{word} {effect:+.2f}" for word, effect in effects[:EXPLAINED_WORDS])


def find_output(name: str) -> Path:
    """Return the path of an output: of a link, the file or folder that it leads to, so that the link stays.

    Raises:
        UserError: the output is a named pipe, a socket or a device, or a link that leads nowhere.
    """
    output = local_path(name)
    if (kind := special_kind(output)) and not output.is_dir():
        raise UserError(f"{output}: is {kind}, not a file; choose another name, or - for standard output")
    try:
        return output.resolve() if output.is_symlink() else output
    except (OSError, RuntimeError):
        raise UserError(f"{output}: a link that leads in a circle; choose another name") from None


def check_output(output: Path, location: str) -> None:
    """Refuse an output that is the input, also by another name or through a link."""
    if output.exists() and "://" not in location and output.samefile(local_path(location)):
        raise UserError(f"{output}: the output is the input, which would be lost; choose another name")


def check_output_name(output: Path, kinds: Sequence[str]) -> None:
    """Refuse an output that is a folder or whose name ends like another format."""
    if output.is_dir() or (
        output.suffix.lower() != STANDARD_OUTPUT and FORMATS.get(output.suffix.lower()) not in kinds
    ):
        endings = ", ".join(ending for ending, known in FORMATS.items() if known in kinds)
        raise UserError(f"{output}: the output must be a {kinds[-1]} file, like the input; end its name with {endings}")
