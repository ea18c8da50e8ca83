"""Predict the star ratings of the reviews in a table or in a folder of tables.

python -m commands.predict reviews.csv --output scored.csv                 CSV, JSON, Parquet or Excel
python -m commands.predict - --format jsonl --output - < reviews.jsonl     from a pipe into a pipe
python -m commands.predict reviews.csv --output scored.csv --resume        continue a run that was killed
python -m commands.predict reviews --output scored --engine dask           the files of a folder, in parallel
"""

import argparse
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
from src.core.schema import read_text
from src.formats.archives import uncompressed_name
from src.formats.record_files import FORMATS, FileFormat, kind_of
from src.formats.sources import file_name, find_files, local_copy, local_path, readable
from src.serving.predictor import EXPORTED_MODEL, Predictor, cached_predictor, md5
from src.tables.writers import Chunk, OutputTable, Reviews, open_table

DIGITS = 6
PART_SUFFIX = ".part"
STANDARD_OUTPUT = ".any"
"""The suffix of the file that becomes standard output, which has no format in its name."""
KINDS = ("auto", "csv", "json", "jsonl", "parquet", "excel")
EXPLAINED_WORDS = 5
ENGINE_OPTIONS = {
    "engine": "for a folder: local (this process) or dask",
    "scheduler": "address of a Dask scheduler",
    "workers": "worker processes of a cluster on this machine",
    "memory": "gigabytes of memory per worker process",
}


class Options(NamedTuple):
    """How to predict a table; `work` identifies the other options and the content of the model."""

    model: Path
    columns: list[str] | None
    format: FileFormat
    explain: bool
    resume: bool
    work: str


def main() -> None:
    args = read_arguments()
    how = FileFormat(args.format, args.encoding, args.separator, args.quoting, not args.no_header, prefix="--")
    settings = (args.text_column, how, args.explain)
    options = Options(args.model, *settings, args.resume, fingerprint([args.model], settings))
    with ExitStack() as pipes:
        path = str(pipes.enter_context(copied_input(args.format))) if args.input == "-" else args.input
        source = find_files(path, "input")
        if source.folder:
            counts = predict_folder(source.files, args, options)
        elif args.output == "-":
            counts = predict_file(path, pipes.enter_context(copied_output()), options)
        else:
            output = local_path(args.output)
            check_output(output, path)
            counts = predict_file(path, output, options)
    scored = counts.pop(None, 0)
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sum_by_kind(counts).items())
    missing = f", {counts.total()} not scored ({reasons})" if counts else ""
    message = f"predict: {scored + counts.total()} rows: {scored} scored{missing}"
    print(message, file=sys.stderr if args.output == "-" else sys.stdout)


def read_arguments() -> argparse.Namespace:
    """Parse the command line; exit with a message if options do not fit together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "input", help="a table of reviews (also compressed) or a folder of tables; - for standard input"
    )
    parser.add_argument("--output", required=True, metavar="PATH", help="in the input's format; - for standard output")
    parser.add_argument(
        "--model", type=Path, default=EXPORTED_MODEL, metavar="FOLDER", help=f"default: {EXPORTED_MODEL}"
    )
    parser.add_argument(
        "--text-column",
        metavar="NAME",
        action="append",
        help="repeat it for several; default: the columns that the model was trained on",
    )
    parser.add_argument("--format", choices=KINDS, default="auto", help="default: auto, from the name of the input")
    parser.add_argument("--encoding", default="auto", help="default: auto, which finds it as data.encoding does")
    parser.add_argument("--separator", default="auto", help="of CSV; default: auto")
    parser.add_argument("--quoting", choices=("auto", "double", "none"), default="auto", help="of CSV; default: auto")
    parser.add_argument("--no-header", action="store_true", help="the columns have no names; they are called 1, 2, ...")
    parser.add_argument(
        "--explain", action="store_true", help="add the words with the largest effect on the rating (10 times slower)"
    )
    parser.add_argument("--resume", action="store_true", help="continue a killed run of the same command")
    for name, described in ENGINE_OPTIONS.items():
        parser.add_argument(f"--{name}", metavar=name.upper(), help=f"{described}; default: from params.yaml")
    args = parser.parse_args()
    if args.input == "-" and args.format == "auto":
        parser.error("standard input needs --format")
    if args.resume and "-" in (args.input, args.output):
        parser.error("--resume needs files, not standard input or output")
    return args


def predict_file(location: str, output: Path, options: Options, wait: bool = False) -> Counter[str | None]:
    """Predict one table. Returns the number of rows for each reason why they were not scored; None: scored."""
    predictor = cached_predictor(options.model, options.work)
    description = predictor.description
    reviews = Reviews(options.columns or description.text_columns, description.missing)
    # Names of columns that a model learnt from a table without a header are numbers.
    header = options.format.header and (description.header or options.columns is not None)
    names = list(added_columns(Chunk([], [], []), predictor, options.explain))
    with TemporaryDirectory() as folder:
        path = local_copy(location, Path(folder))
        table = open_table(path, options.format._replace(header=header), reviews, names, location)
        check_output_name(output, table.kinds)
        with resumable_parts(output, f"{options.work} {md5(path)}", options.resume, wait=wait) as parts:
            counts = write_parts(parts, table, predictor, options.explain)
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
            if part.exists():
                counts.update(reasons_of(chunk, predictor.reasons(chunk.cells)))
            else:
                added = added_columns(chunk, predictor, explain)
                with atomic_write(part) as temporary:
                    table.write(temporary, chunk, added, first=number == 0)
                counts.update(added["reason"])
            progress.update(len(chunk.cells))
    return counts


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


def sum_by_kind(counts: Counter[str | None]) -> Counter[str]:
    """Sum the counts of reasons that differ in details behind a colon."""
    kinds: Counter[str] = Counter()
    for reason, count in counts.items():
        kinds[str(reason).partition(":")[0]] += count
    return kinds


def predict_folder(locations: list[str], args: argparse.Namespace, options: Options) -> Counter[str | None]:
    """Predict the files of a folder, each into a file of the same name, uncompressed, in another folder."""
    output = local_path(args.output)
    names = [output_name(location, options.format) for location in locations]
    check_folder(locations, names, output)
    engine = engine_of(args)
    with resumable_parts(output, options.work, options.resume, keep=True) as parts, open_executor(engine) as executor:
        jobs = zip(locations, [parts / name for name in names], strict=True)
        counts = executor.fold(partial(predict_once, options), add, jobs)
        with atomic_write(output) as temporary:
            temporary.mkdir()
            for name in names:
                (parts / name).replace(temporary / name)
    return counts


def output_name(location: str, how: FileFormat) -> str:
    """Return the name of the output for a file of a folder."""
    path = Path(file_name(location)) if "://" in location else Path(location)
    with readable(location):
        name, kind = uncompressed_name(path), kind_of(path, how)
    return f"{Path(name).stem}.csv" if kind == "excel" else name


def check_folder(locations: list[str], names: list[str], output: Path) -> None:
    """Refuse two inputs with the same output name, and an output folder that holds other files than the outputs."""
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise UserError(f"{twice}: two input files would be written to this name; rename one of them")
    inputs = Path(locations[0]).parent.resolve()
    if str(output) != "-" and not output.exists():
        return
    if not output.is_dir() or output.resolve() == inputs or not {path.name for path in output.iterdir()} <= set(names):
        raise UserError(f"{output}: the output must be a folder, like the input; name an empty or a new one")


def engine_of(args: argparse.Namespace) -> Engine:
    """Return the section `engine` of params.yaml with the changes from the command line."""
    changes = {name: getattr(args, name) for name in ENGINE_OPTIONS if getattr(args, name) is not None}
    engine = read_params(Path("params.yaml")).engine.model_dump()
    if "engine" in changes:
        changes["name"] = changes.pop("engine")
    try:
        return Engine.model_validate(engine | changes, strict=False)
    except ValidationError as errors:
        error = errors.errors()[0]
        name = "engine" if error["loc"][0] == "name" else error["loc"][0]
        raise UserError(f"--{name}: {error['msg']}, not {error['input']!r}") from None


def predict_once(options: Options, job: tuple[str, Path]) -> Counter[str | None]:
    """Predict one file of a folder, unless an earlier run did: then a file beside the output holds its counts."""
    location, output = job
    done = output.with_name(f".{output.name}.json")
    with TemporaryDirectory() as folder:
        path = local_copy(location, Path(folder))
        digest = md5(path)
        if output.exists() and done.exists() and read_json(done)["md5"] == digest:
            return Counter(dict(read_json(done)["counts"]))
        done.unlink(missing_ok=True)
        # A worker that the cluster has given up may still write this file: wait for it.
        counts = predict_file(str(path), output, options, wait=True)
        write_json(done, {"md5": digest, "counts": list(counts.items())})
    return counts


@contextmanager
def copied_input(kind: str) -> Iterator[Path]:
    """Copy standard input to a file, because a table is read more than once."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"standard input.{kind}"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        yield path


@contextmanager
def copied_output() -> Iterator[Path]:
    """Yield a file to write to; copy it to standard output when it is complete."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"standard output{STANDARD_OUTPUT}"
        yield path
        with path.open("rb") as file, open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as out:
            shutil.copyfileobj(file, out, 1 << 20)


if __name__ == "__main__":
    run(main)
