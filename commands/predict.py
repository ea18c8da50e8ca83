"""Say the stars of the reviews in a table, or in a folder of tables.

python -m commands.predict reviews.csv --output scored.csv                 CSV, TSV, JSON lines or Parquet
python -m commands.predict - --format jsonl --output - < reviews.jsonl     from a pipe into a pipe
python -m commands.predict reviews.csv --output scored.csv --resume        go on where a killed run stopped
python -m commands.predict reviews --output scored --engine dask           the files of a folder, side by side
"""

import argparse
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from operator import add
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from pydantic import ValidationError

from src.core.errors import UserError, run
from src.core.executor import open_executor
from src.core.files import atomic_write, read_json, resumable_parts, write_json
from src.core.fingerprints import fingerprint
from src.core.params import Engine, read_params
from src.core.progress import progress_bar
from src.core.schema import read_text, text_problem
from src.serving.predictor import EXPORTED_MODEL, Predictor, cached_predictor, md5
from src.tables.readers import FORMATS, kind_of
from src.tables.sources import file_name, find_files, local_copy
from src.tables.writers import Chunk, OutputTable, open_table

DIGITS = 6
PART_SUFFIX = ".part"
EXPLAINED = 5
"""Words that are named for a review."""
ENGINE_OPTIONS = {
    "engine": "for a folder: local (this process) or dask",
    "scheduler": "address of a Dask scheduler",
    "workers": "processes of a cluster on this machine",
    "memory": "gigabytes of memory for each of them",
}


class Options(NamedTuple):
    """How tables are scored; `work` names all of it, the model too."""

    model: Path
    column: str | None
    format: str | None
    encoding: str
    explain: bool
    resume: bool
    work: str


def main() -> None:
    given = read_arguments()
    how = (given.text_column, given.format, given.encoding, given.explain)
    options = Options(given.model, *how, given.resume, fingerprint([given.model], how))
    with ExitStack() as files:
        path = str(files.enter_context(copied_input(given.format))) if given.input == "-" else given.input
        source = find_files(path, "input")
        if source.folder:
            counts = predict_folder(source.files, Path(given.output), options, engine_of(given))
        elif given.output == "-":
            kind = given.format or kind_of(Path(file_name(path)), "--format")
            counts = predict_file(options, (path, files.enter_context(copied_output(kind))))
        else:
            counts = predict_file(options, (path, Path(given.output)))
    reasons = ", ".join(f"{reason}: {count}" for reason, count in counts.items() if reason)
    message = f"predict: {counts.total()} rows: {counts[None]} scored" + (f"; not scored: {reasons}" if reasons else "")
    print(message, file=sys.stderr if given.output == "-" else sys.stdout)


def read_arguments() -> argparse.Namespace:
    """Parse the command line; exit with a message where options do not fit together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "input", help="a table of reviews (also .gz or .zip), or a folder of tables; - for standard input"
    )
    parser.add_argument("--output", required=True, metavar="PATH", help="of the same kind; - for standard output")
    parser.add_argument(
        "--model", type=Path, default=EXPORTED_MODEL, metavar="FOLDER", help=f"default: {EXPORTED_MODEL}"
    )
    parser.add_argument("--text-column", metavar="NAME", help="default: the one the model was trained on")
    parser.add_argument("--format", choices=("csv", "jsonl", "parquet"), help="default: by the name of the input")
    parser.add_argument("--encoding", default="auto", help="default: auto, as data.encoding")
    parser.add_argument(
        "--explain", action="store_true", help="add the words that moved the rating most (10 times slower)"
    )
    parser.add_argument("--resume", action="store_true", help="continue a killed run of the same command")
    for name, described in ENGINE_OPTIONS.items():
        parser.add_argument(f"--{name}", metavar=name.upper(), help=f"{described}; default: as in params.yaml")
    given = parser.parse_args()
    if given.input == "-" and not given.format:
        parser.error("standard input needs --format")
    if given.resume and "-" in (given.input, given.output):
        parser.error("--resume needs files, not standard input or output")
    return given


def engine_of(given: argparse.Namespace) -> Engine:
    """The section `engine` of params.yaml, changed by the options of the command line."""
    changes = {name: getattr(given, name) for name in ENGINE_OPTIONS if getattr(given, name) is not None}
    engine = read_params(Path("params.yaml")).engine.model_dump()
    if "engine" in changes:
        changes["name"] = changes.pop("engine")
    try:
        return Engine.model_validate(engine | changes, strict=False)
    except ValidationError as errors:
        error = errors.errors()[0]
        name = "engine" if error["loc"][0] == "name" else error["loc"][0]
        raise UserError(f"--{name}: {error['msg']}, not {error['input']!r}") from None


def predict_folder(locations: list[str], output: Path, options: Options, settings: Engine) -> Counter[str | None]:
    """Score the files of a folder, each into a file of its name, without .gz or .zip, in another folder."""
    names = [re.sub(r"(\.gz|\.zip)+$", "", file_name(location), flags=re.IGNORECASE) for location in locations]
    if len(set(names)) < len(names):
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise UserError(f"{twice}: two files of the input would get this name; rename one")
    inputs = Path(locations[0]).parent.resolve()
    new = not output.exists() and str(output) != "-"
    if not new and not (output.is_dir() and output.resolve() != inputs and names_in(output) <= set(names)):
        raise UserError(f"{output}: the output is a folder, as the input is; name one that is empty or not there")
    if options.format is None:
        for name in names:
            kind_of(Path(name), "--format")
    with resumable_parts(output, options.work, options.resume, keep=True) as parts, open_executor(settings) as executor:
        jobs = zip(locations, [parts / name for name in names], strict=True)
        counts = executor.fold(partial(predict_once, options), add, jobs)
        with atomic_write(output) as temporary:
            temporary.mkdir()
            for name in names:
                (parts / name).replace(temporary / name)
    return counts


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def predict_once(options: Options, job: tuple[str, Path]) -> Counter[str | None]:
    """Score a file unless that was done; what was counted stands beside it, under what it was made from."""
    location, output = job
    done = output.with_name(f".{output.name}.json")
    with TemporaryDirectory() as folder:
        path = local_copy(location, Path(folder))
        digest = md5(path)
        if output.exists() and done.exists() and read_json(done)["md5"] == digest:
            return Counter(dict(read_json(done)["counts"]))
        done.unlink(missing_ok=True)
        # Where a worker was given up that still works on the file, this one waits for it.
        counts = predict_file(options, (str(path), output), wait=True)
        write_json(done, {"md5": digest, "counts": list(counts.items())})
    return counts


def predict_file(options: Options, job: tuple[str, Path], wait: bool = False) -> Counter[str | None]:
    """Score one table into another; count the rows by the reason why they are not scored, None for those that are."""
    location, output = job
    predictor = cached_predictor(options.model, options.work)
    column = options.column or predictor.description.text_column
    names = list(added_columns(predictor, Chunk([], [], []), options.explain))
    with TemporaryDirectory() as folder:
        path = local_copy(location, Path(folder))
        table = open_table(path, options.format, options.encoding, column, names)
        refuse_other_kind(output, table.kind)
        with resumable_parts(output, f"{options.work} {md5(path)}", options.resume, wait=wait) as parts:
            counts = write_parts(parts, table, predictor, options.explain)
            with atomic_write(output) as temporary:
                table.join(temporary, sorted(parts.glob(f"*{PART_SUFFIX}")))
    return counts


def write_parts(folder: Path, table: OutputTable, predictor: Predictor, explain: bool) -> Counter[str | None]:
    """Score all that is not scored yet; count as score_file does.

    The table is read twice: what is wrong with it is said before the work begins, and the bar knows its end.
    """
    counts: Counter[str | None] = Counter()
    rows = sum(len(chunk.cells) for chunk in table.chunks())
    with progress_bar(total=rows, desc="predict", unit=" reviews") as shown:
        for number, chunk in enumerate(table.chunks()):
            part = folder / f"{number:08}{PART_SUFFIX}"
            if part.exists():
                counts.update(reasons_of(chunk))
            else:
                added = added_columns(predictor, chunk, explain)
                with atomic_write(part) as temporary:
                    table.write(temporary, chunk, added, first=number == 0)
                counts.update(added["reason"])
            shown.update(len(chunk.cells))
    return counts


def reasons_of(chunk: Chunk) -> list[str | None]:
    """Why each row of a chunk cannot be scored; None for one that can."""
    pairs = zip(chunk.cells, chunk.problems, strict=True)
    return [problem or text_problem(read_text(cell)) for cell, problem in pairs]


def added_columns(predictor: Predictor, chunk: Chunk, explain: bool) -> dict[str, list[Any]]:
    """What is added to the rows of a chunk: stars, probabilities, expected stars, and why they are missing."""
    predictions = predictor.predict(chunk.cells)
    reasons = [problem or found for problem, found in zip(chunk.problems, predictions.reasons, strict=True)]

    def where_scored(values: Sequence[Any]) -> list[Any]:
        return [value if reason is None else None for value, reason in zip(values, reasons, strict=True)]

    columns = {"predicted": where_scored(predictions.predicted.tolist())}
    for star, share in zip(predictor.stars, predictions.probabilities.T, strict=True):
        columns[f"p{star}"] = where_scored(share.round(DIGITS).tolist())
    columns["expected"] = where_scored(predictions.expected.round(DIGITS).tolist())
    if explain:
        texts = [read_text(cell) or "" for cell in chunk.cells]
        columns["words"] = where_scored([in_words(effects) for effects in predictor.explain(texts)])
    return columns | {"reason": reasons}


def in_words(effects: list[tuple[str, float]]) -> str:
    """The words that moved the stars most, and how far."""
    return ", ".join(f"{word} {effect:+.2f}" for word, effect in effects[:EXPLAINED])


def refuse_other_kind(output: Path, kind: str) -> None:
    """Refuse a name for the output that says another format than it will have."""
    if output.is_dir() or FORMATS.get(output.suffix.lower()) != kind:
        endings = ", ".join(ending for ending, known in FORMATS.items() if known == kind)
        raise UserError(f"{output}: the output is {kind}, as the input is, and a file; end its name with {endings}")


@contextmanager
def copied_input(kind: str) -> Iterator[Path]:
    """Standard input as a file: it is read more than once."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"standard input.{kind}"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        yield path


@contextmanager
def copied_output(kind: str) -> Iterator[Path]:
    """A file that goes to standard output when it is complete."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"standard output.{kind}"
        yield path
        with path.open("rb") as file, open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as out:
            shutil.copyfileobj(file, out, 1 << 20)


if __name__ == "__main__":
    run(main)
