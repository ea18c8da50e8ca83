"""Say the stars of the reviews in a table.

python -m commands.predict reviews.csv --output scored.csv                 CSV, TSV, JSON lines or Parquet
python -m commands.predict - --format jsonl --output - < reviews.jsonl     from a pipe into a pipe
python -m commands.predict reviews.csv --output scored.csv --resume        go on where a killed run stopped
"""

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from src.domain import read_text, text_problem
from src.errors import UserError, run
from src.files import replacing, resumable_parts
from src.fingerprints import fingerprint
from src.scored_tables import Chunk, ScoredTable, open_table
from src.scoring import Scorer
from src.tables import FORMATS

MODEL = Path("models/export")
DIGITS = 6
PART = ".part"
EXPLAINED = 5
"""Words that are named for a review."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="the table of reviews, also .gz or .zip; - for standard input")
    parser.add_argument("--output", required=True, metavar="FILE", help="of the same kind; - for standard output")
    parser.add_argument("--model", type=Path, default=MODEL, metavar="FOLDER", help=f"default: {MODEL}")
    parser.add_argument("--text-column", metavar="NAME", help="default: that of the table the model learnt from")
    parser.add_argument("--format", choices=("csv", "jsonl", "parquet"), help="default: by the name of the input")
    parser.add_argument("--encoding", default="auto", help="default: found, as by data.encoding")
    parser.add_argument(
        "--explain", action="store_true", help="add the words that moved the stars most (10 times slower)"
    )
    parser.add_argument("--resume", action="store_true", help="go on where a killed run of the same work stopped")
    given = parser.parse_args()
    if given.input == "-" and not given.format:
        parser.error("--format must say what standard input is")
    if given.resume and "-" in (given.input, given.output):
        parser.error("--resume needs files: what went through a pipe is gone")
    scorer = Scorer(given.model)
    names = list(added_columns(scorer, Chunk([], [], []), given.explain))
    with ExitStack() as files:
        path = files.enter_context(copied_input(given.format)) if given.input == "-" else Path(given.input)
        column = given.text_column or scorer.description.text_column
        table = open_table(path, given.format, given.encoding, column, names)
        output = files.enter_context(copied_output(table.kind)) if given.output == "-" else Path(given.output)
        refuse_other_kind(output, table.kind)
        work = fingerprint([path, given.model], [column, given.format, given.encoding, given.explain])
        folder = files.enter_context(resumable_parts(output, work, given.resume))
        counts = write_parts(folder, table, scorer, given.explain)
        with replacing(output) as aside:
            table.join(aside, sorted(folder.glob(f"*{PART}")))
    reasons = ", ".join(f"{reason}: {count}" for reason, count in counts.items() if reason)
    said = f"predict: {counts.total()} rows: {counts[None]} scored" + (f"; not scored: {reasons}" if reasons else "")
    print(said, file=sys.stderr if given.output == "-" else sys.stdout)


def write_parts(folder: Path, table: ScoredTable, scorer: Scorer, explain: bool) -> Counter[str | None]:
    """Score all that is not scored yet; count the rows by the reason why they are not scored, None for those that are.

    The table is read twice: what is wrong with it is said before the work begins, and the bar knows its end.
    """
    counts: Counter[str | None] = Counter()
    rows = sum(len(chunk.cells) for chunk in table.chunks())
    with tqdm(total=rows, desc="predict", unit=" reviews", disable=None) as bar:
        for number, chunk in enumerate(table.chunks()):
            part = folder / f"{number:08}{PART}"
            if part.exists():
                counts.update(reasons_of(chunk))
            else:
                added = added_columns(scorer, chunk, explain)
                with replacing(part) as aside:
                    table.write(aside, chunk, added, first=number == 0)
                counts.update(added["reason"])
            bar.update(len(chunk.cells))
    return counts


def reasons_of(chunk: Chunk) -> list[str | None]:
    """Why each row of a chunk cannot be scored; None for one that can."""
    pairs = zip(chunk.cells, chunk.problems, strict=True)
    return [problem or text_problem(read_text(cell)) for cell, problem in pairs]


def added_columns(scorer: Scorer, chunk: Chunk, explain: bool) -> dict[str, list[Any]]:
    """What is added to the rows of a chunk: stars, probabilities, expected stars, and why they are missing."""
    scores = scorer.score(chunk.cells)
    reasons = [problem or found for problem, found in zip(chunk.problems, scores.problems, strict=True)]

    def where_scored(values: Sequence[Any]) -> list[Any]:
        return [value if reason is None else None for value, reason in zip(values, reasons, strict=True)]

    columns = {"predicted": where_scored(scores.predicted.tolist())}
    for star, share in zip(scorer.stars, scores.probabilities.T, strict=True):
        columns[f"p{star}"] = where_scored(share.round(DIGITS).tolist())
    columns["expected"] = where_scored(scores.expected.round(DIGITS).tolist())
    if explain:
        texts = [read_text(cell) or "" for cell in chunk.cells]
        columns["words"] = where_scored([in_words(effects) for effects in scorer.explain(texts)])
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
