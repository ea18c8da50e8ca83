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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from operator import add
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from commands.predict_table import STANDARD_OUTPUT, Options, check_output, find_output, predict_file
from src.core.errors import UserError, named_errors, run
from src.core.executor import open_executor
from src.core.files import atomic_write, read_json, resumable_parts, write_json
from src.core.fingerprints import fingerprint
from src.core.params import Engine, read_params
from src.formats.archives import uncompressed_name
from src.formats.bounds import MAX_TEXT, MAX_UNPACKED_MB
from src.formats.record_files import FileFormat, kind_of
from src.formats.sources import file_name, find_files, local_copy, readable
from src.serving.predictor import EXPORTED_MODEL, md5

LONG_TEXT = "a longer review gets a reason instead of stars; default"
UNPACKED = "a compressed input that unpacks to more is refused; default"
KINDS = ("auto", "csv", "json", "jsonl", "parquet", "excel")
ENGINE_OPTIONS = {
    "engine": "for a folder: local (this process) or dask",
    "scheduler": "address of a Dask scheduler",
    "workers": "worker processes of a cluster on this machine",
    "memory": "gigabytes of memory per worker process",
}


def main() -> None:
    args = read_arguments()
    how = FileFormat(args.format, args.encoding, args.separator, args.quoting, not args.no_header, prefix="--")
    how = how._replace(max_text=args.max_text, max_unpacked_mb=args.max_unpacked_mb, unpacked_option="max-unpacked-mb")
    settings = (args.text_column, how, args.explain, args.spreadsheet_safe)
    options = Options(args.model, *settings, args.resume, fingerprint([args.model], settings))
    with ExitStack() as pipes:
        path = str(pipes.enter_context(copied_input(args.format))) if args.input == "-" else args.input
        source = find_files(path, "input")
        if source.folder:
            counts = predict_folder(source.files, args, options)
        elif args.output == "-":
            counts = predict_file(path, pipes.enter_context(copied_output()), options)
        else:
            output = find_output(args.output)
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
    parser.add_argument(
        "--spreadsheet-safe",
        action="store_true",
        help="of CSV output: put an apostrophe before texts that a spreadsheet would run as formulas",
    )
    parser.add_argument(
        "--max-text", type=whole_number, default=MAX_TEXT, metavar="CHARACTERS", help=f"{LONG_TEXT}: {MAX_TEXT}"
    )
    parser.add_argument(
        "--max-unpacked-mb",
        type=whole_number,
        default=MAX_UNPACKED_MB,
        metavar="MB",
        help=f"{UNPACKED}: {MAX_UNPACKED_MB}",
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


def whole_number(text: str) -> int:
    """Read a number of the command line that must be 1 or more."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def sum_by_kind(counts: Counter[str | None]) -> Counter[str]:
    """Sum the counts of reasons that differ in details behind a colon."""
    kinds: Counter[str] = Counter()
    for reason, count in counts.items():
        kinds[str(reason).partition(":")[0]] += count
    return kinds


def predict_folder(locations: list[str], args: argparse.Namespace, options: Options) -> Counter[str | None]:
    """Predict the files of a folder, each into a file of the same name, uncompressed, in another folder."""
    output = find_output(args.output)
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
        limit = options.format.unpack_limit
        path = local_copy(location, Path(folder), max_mb=limit.megabytes, option=limit.option)
        digest = md5(path)
        if (earlier := earlier_counts(done, digest, output)) is not None:
            return earlier
        done.unlink(missing_ok=True)
        # A worker that the cluster has given up may still write this file: wait for it.
        counts = predict_file(str(path), output, options, wait=True)
        write_json(done, {"input": digest, "output": md5(output), "counts": list(counts.items())})
    return counts


def earlier_counts(done: Path, digest: str, output: Path) -> Counter[str | None] | None:
    """Return the counts of an output that an earlier run wrote, None if it did not, or if a file changed since."""
    try:
        earlier = read_json(done)
        whole = (earlier["input"], earlier["output"]) == (digest, md5(output))
        return Counter(dict(earlier["counts"])) if whole else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def copied_input(kind: str) -> Iterator[Path]:
    """Copy standard input to a file, because a table is read more than once."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"standard input.{kind}"
        with named_errors(path), path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        yield path


@contextmanager
def copied_output() -> Iterator[Path]:
    """Yield a file to write to; copy it to standard output when it is complete."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"standard output{STANDARD_OUTPUT}"
        yield path
        with (
            named_errors("standard output"),
            path.open("rb") as file,
            open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as out,
        ):
            shutil.copyfileobj(file, out, 1 << 20)


if __name__ == "__main__":
    run(main)
