"""The command predict: it keeps every row as it is and predicts the same ratings as evaluate."""

import csv
import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from src.serving.predictor import NO_KNOWN_WORD, NO_WORD, md5
from tests.conftest import ROOT

KILLS = int(os.environ.get("REVIEWS_KILLS", "5"))
STARS = [f"p{star}" for star in range(1, 6)]
ADDED = ["predicted", *STARS, "expected", "word_count", "known_words", "reason"]


def command(project, *arguments, chunk=None):
    """The command line; `chunk` sets the rows per chunk."""
    model = ["--model", project.path / "models/export"]
    if chunk is None:
        return [sys.executable, "-m", "commands.predict", *arguments, *model]
    program = f"from src.tables import writers; writers.CHUNK_ROWS = {chunk}; from commands.predict import *; run(main)"
    return [sys.executable, "-c", program, *arguments, *model]


def predict(project, *arguments, ok=True, chunk=None, **settings):
    done = subprocess.run(
        command(project, *arguments, chunk=chunk), cwd=ROOT, capture_output=True, check=False, **settings
    )
    assert (done.returncode == 0) == ok, done.stderr
    return (done.stdout if ok else done.stderr).decode()


@pytest.fixture(scope="module")
def evaluated(project):
    return pd.read_parquet(project.path / "data/evaluate/predictions.parquet")


def without_known_word(scored):
    """The rows that are not rated, though evaluate rates every test review."""
    return scored.known_words == 0


def check_predictions(scored, evaluated):
    unknown = without_known_word(scored)
    assert scored.reason[unknown].isin([NO_WORD, NO_KNOWN_WORD]).all()
    assert scored.loc[unknown, ["predicted", *STARS, "expected"]].isna().all(axis=None)
    scored, evaluated = scored[~unknown], evaluated[~unknown]
    assert (scored.known_words <= scored.word_count).all()
    assert scored.predicted.tolist() == evaluated.predicted.tolist()
    np.testing.assert_allclose(scored[STARS], evaluated[STARS], rtol=0, atol=1e-5)
    np.testing.assert_allclose(scored.expected, evaluated[STARS] @ [1, 2, 3, 4, 5], rtol=0, atol=1e-4)
    assert not scored.reason.notna().any()


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet", "csv.gz"])
def test_every_format_gets_the_predictions_of_evaluate(project, evaluated, tmp_path, ending):
    table = evaluated[["row", "text"]].rename(columns={"text": "content"})
    source, target = tmp_path / f"in.{ending}", tmp_path / f"out.{ending.removesuffix('.gz')}"
    if ending == "parquet":
        table.to_parquet(source)
    elif ending == "jsonl":
        table.to_json(source, orient="records", lines=True)
    else:
        table.to_csv(source, index=False, sep="\t" if ending == "tsv" else ",")
    printed = predict(project, source, "--output", target, chunk=70)
    assert printed.startswith(f"predict: {len(table)} rows: ")
    readers = {"parquet": pd.read_parquet, "jsonl": lambda path: pd.read_json(path, lines=True)}
    scored = readers.get(ending, lambda path: pd.read_csv(path, sep=None, engine="python"))(target)
    pd.testing.assert_frame_equal(scored[["row", "content"]], table)
    assert list(scored) == ["row", "content", *ADDED]
    check_predictions(scored, evaluated)
    unknown = without_known_word(scored).sum()
    assert 0 < unknown < 5
    assert f": {len(table) - unknown} scored, {unknown} not scored ({NO_KNOWN_WORD}: {unknown})" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, target.name])


def test_every_row_of_a_difficult_csv_is_kept(project, tmp_path):
    rows = [
        ["great app", "1", "a,b"],
        ['two\nlines\r\nand "quotes"', "", "=1+1"],
        ["", "2", "x"],
        ["  ", "3", "y"],
        ["bare\rreturn", "4", "\u2028"],
        ["nul\0inside", "5", "\U0001f600"],
        ["the of and", "6", " padded "],
    ]
    with (tmp_path / "in.csv").open("w", encoding="utf-16", newline="") as file:
        writer = csv.writer(file, delimiter=";", quoting=csv.QUOTE_ALL)
        writer.writerows([["content", "id", "note"], *rows])
        file.write('too;many;fields;here\r\n\r\nfew\r\n"whole row;7;in quotes"\r\n')
    printed = predict(project, tmp_path / "in.csv", "--output", tmp_path / "out.csv", chunk=3)
    assert printed == (
        "predict: 10 rows: 2 scored, 8 not scored (no text: 2, the model knows none of its words: 3, "
        "no word is left after cleaning: 1, wrong number of fields: 2)\n"
    )
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        header, *scored = csv.reader(file, delimiter=";")
    assert header == ["content", "id", "note", *ADDED]
    assert [row[:3] for row in scored[:7]] == rows
    assert scored[7] == ["too", "many", "fields", *[""] * 9, "wrong number of fields: 4 where the header has 3", "here"]
    assert scored[8] == ["few", "", "", *[""] * 9, "wrong number of fields: 1 where the header has 3"]
    assert scored[9][:3] == ["whole row", "7", "in quotes"]
    no_text, unknown = ["no text"] * 2, [NO_KNOWN_WORD] * 2
    assert [row[12] for row in scored[:7]] == ["", "", *no_text, *unknown, NO_WORD]
    assert [row[10:12] for row in scored[:4]] == [["2", "2"], ["3", "2"], ["", ""], ["", ""]]
    assert all((row[3] != "") == (row[12] == "") for row in scored)


def test_json_lines_keep_their_characters(project, tmp_path):
    lines = [
        '{"content": "great app", "n": 1.0, "big": 123456789012345678901234567890, "s": "\\ud800"}',
        '  {"a":{"b":[1,2]},"content":"bad"}  ',
        "{}",
        "no json",
        "",
        '["a", "list"]',
        '{"content": null}',
        '{"content": ["great"]}',
        '{"content": 5}',
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    predict(project, tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl")
    written = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert written[0].startswith(lines[0][:-1] + ", ")
    records = [json.loads(line) for line in written]
    assert [list(record)[-10:] for record in records] == [ADDED] * 8
    assert records[1]["a"] == {"b": [1, 2]}
    assert [record.get("line") for record in records] == [None] * 3 + ["no json", '["a", "list"]'] + [None] * 3
    reasons = [None, None, "no text", *["not a JSON object"] * 2, "no text", "text is not a string", NO_KNOWN_WORD]
    assert [record["reason"] for record in records] == reasons
    assert [record["predicted"] is None for record in records] == [record["reason"] is not None for record in records]


def test_parquet_keeps_its_types(project, tmp_path):
    table = pa.table(
        {
            "content": pa.array(["great app", None, "bad"] * 50, pa.large_string()).dictionary_encode(),
            "nested": [{"a": [1, 2]}, None, {"a": []}] * 50,
            "at": pa.array([1, 2, None] * 50, pa.timestamp("ms", "UTC")),
        },
        metadata={"owner": "me"},
    )
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=40)
    table = pq.ParquetFile(tmp_path / "in.parquet").read()
    predict(project, tmp_path / "in.parquet", "--output", tmp_path / "a=1.parquet", chunk=1000)
    scored = pq.ParquetFile(tmp_path / "a=1.parquet").read()
    assert scored.select(table.column_names).equals(table)
    assert scored.schema.names == [*table.column_names, *ADDED]
    assert scored.schema.metadata[b"owner"] == b"me"
    assert scored.column("reason").to_pylist() == [None, "no text", None] * 50
    assert [value is None for value in scored.column("predicted").to_pylist()] == [False, True, False] * 50


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_input_and_output_can_be_pipes(project, kind):
    table = pd.DataFrame({"content": ["great app", "bad app"], "id": [1, 2]})
    content = {
        "csv": lambda: table.to_csv(index=False).encode(),
        "jsonl": lambda: table.to_json(orient="records", lines=True).encode(),
        "parquet": table.to_parquet,
    }[kind]()
    arguments = ["-", "--format", kind, "--output", "-"]
    done = subprocess.run(command(project, *arguments), cwd=ROOT, input=content, capture_output=True, check=True)
    reader = {"csv": pd.read_csv, "jsonl": lambda file: pd.read_json(file, lines=True), "parquet": pd.read_parquet}
    scored = reader[kind](io.BytesIO(done.stdout))
    assert scored[["content", "id"]].to_numpy().tolist() == table.to_numpy().tolist()
    assert scored.predicted.between(1, 5).all()
    assert done.stderr == b"predict: 2 rows: 2 scored\n"


def test_a_table_without_rows_and_word_effects(project, tmp_path):
    (tmp_path / "in.csv").write_text("id,review\n", encoding="utf-8")
    arguments = (tmp_path / "in.csv", "--output", tmp_path / "out.csv", "--text-column", "review", "--explain")
    predict(project, *arguments)
    assert (tmp_path / "out.csv").read_text().count(",") == 12
    (tmp_path / "in.csv").write_text("id,review\n1,great app but it crashes\n2,\n", encoding="utf-8")
    predict(project, *arguments)
    first, second = pd.read_csv(tmp_path / "out.csv").words
    assert {part.split()[0] for part in first.split(", ")} == {"great", "app", "but", "crash"}
    assert pd.isna(second)


GOOD = "content,id\ngreat app,1\n"
BAD = {
    "no such file": ({}, ["nowhere.csv"], "nowhere.csv: no such file"),
    "an empty folder": ({}, ["."], "no files in this folder"),
    "a folder of itself": ({"a.csv": GOOD}, [".", "--output", "."], "name an empty or a new one"),
    "an unknown kind in a folder": ({"a.csv": GOOD, "b.log": GOOD}, ["."], "b.log: unknown kind of file"),
    "twice a name in a folder": ({"a.csv": GOOD, "a.csv.gz": ""}, ["."], "a.csv: two input files"),
    "unknown kind": ({"a.log": GOOD}, ["a.log"], "a.log: unknown kind of file .*set --format"),
    "no such column": (
        {"a.csv": "contents,id\n"},
        ["a.csv"],
        "no column content; set --text-column .*did you mean contents",
    ),
    "scored already": ({"a.csv": "content,p1\n"}, ["a.csv"], "a.csv: has columns that would be added: p1"),
    "scored lines": ({"a.jsonl": '{"content": "a", "reason": 1}\n'}, ["a.jsonl"], "would be added: reason"),
    "no column in any line": ({"a.jsonl": '{"text": "a"}\n'}, ["a.jsonl"], "no column content"),
    "the input itself": ({"a.csv": GOOD}, ["a.csv", "--output", "./a.csv"], "the output is the input"),
    "a picture": ({"a.csv": "\x89PNG\r\n\x1a\n\0\0"}, ["a.csv"], "a.csv: "),
    "no parquet": ({"a.parquet": GOOD}, ["a.parquet"], "a.parquet: cannot be read"),
    "unknown encoding": ({"a.csv": GOOD}, ["a.csv", "--encoding", "utf-9"], "utf-9: unknown encoding"),
    "other kind": ({"a.csv": GOOD}, ["a.csv", "--output", "o.jsonl"], "o.jsonl: the output must be a csv file"),
    "a folder as output": ({"a.csv": GOOD}, ["a.csv", "--output", "."], "the output must be a csv file"),
    "a file as output": ({"a.csv": GOOD}, [".", "--output", "a.csv"], "a.csv: the output must be a folder"),
    "no model": ({"a.csv": GOOD}, ["a.csv", "--model", "."], "export.json: no such file; run dvc repro export"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_error_is_one_line_and_leaves_no_file(project, tmp_path, monkeypatch, capsys, name):
    from commands.predict import main
    from src.core.errors import run

    files, arguments, message = BAD[name]
    monkeypatch.chdir(tmp_path)
    for file, content in files.items():
        (tmp_path / file).write_text(content, encoding="utf-8")
    defaults = ["--model", str(project.path / "models/export"), "--output", f"o{Path(arguments[0]).suffix}"]
    monkeypatch.setattr(sys, "argv", ["predict", *defaults, *arguments])
    with pytest.raises(SystemExit, match=message) as error:
        run(main)
    assert str(error.value.code).startswith("error: ")
    assert {path.name for path in tmp_path.iterdir()} == set(files)


def test_a_full_disk_is_one_line_and_leaves_no_file(project, tmp_path):
    """A limit on the file size simulates a full disk."""
    import resource

    (tmp_path / "in.csv").write_text(GOOD + "great app,2\n" * 5000, encoding="utf-8")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
    printed = predict(project, tmp_path / "in.csv", "--output", tmp_path / "o.csv", ok=False, preexec_fn=limit)
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.fixture
def table(tmp_path):
    """5,000 rows: 50 parts with 100 rows per chunk."""
    words = "great app bad crash but not very slow nice sync login update ! 😀".split()
    choose = random.Random(1)
    with (tmp_path / "in.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "content"])
        writer.writerows([i, " ".join(choose.choices(words, k=choose.randrange(60)))] for i in range(5_000))
    return tmp_path / "in.csv"


def test_a_killed_run_continues_to_the_same_bytes(project, table):
    arguments = [table, "--output", table.with_name("out.csv")]
    started = time.monotonic()
    predict(project, *arguments, chunk=100)
    duration = time.monotonic() - started
    expected = (table.with_name("out.csv")).read_bytes()
    table.with_name("out.csv").unlink()
    kept = []
    for seed in range(KILLS):
        process = subprocess.Popen(
            command(project, *arguments, "--resume", chunk=100), cwd=ROOT, stdout=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=random.Random(seed).uniform(0.3 * duration, duration))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kept.append(len(list(table.parent.glob(".out.csv.partial/*.part"))))
        predict(project, *arguments, "--resume", chunk=100)
        assert table.with_name("out.csv").read_bytes() == expected
        assert {path.name for path in table.parent.iterdir()} == {"in.csv", "out.csv"}
        table.with_name("out.csv").unlink()
    print(f"{len(kept)} of {KILLS} killed, with {kept} parts of 50 done")


INTERRUPTED = """
import os, signal
from itertools import count
from src.tables import writers
from commands.predict import *

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
writers.CHUNK_ROWS = 100
written, write = count(), writers.CsvTable.write

def write_two(*args, **kwargs):
    if next(written) == 2:
        os.kill(os.getpid(), signal.SIGINT)
    write(*args, **kwargs)

writers.CsvTable.write = write_two
run(main)
"""


def interrupted(project, table):
    """Interrupt a run after two parts and return its folder."""
    command = [sys.executable, "-c", INTERRUPTED, table, "--output", table.with_name("out.csv")]
    command += ["--model", project.path / "models/export"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.stderr == b"error: interrupted\n"
    folder = table.with_name(".out.csv.partial")
    assert len(list(folder.glob("*.part"))) == 2
    return folder


def damage(part, content=b"used again\n"):
    """Add to a part; its sum is made to fit, or else it would be seen."""
    part.write_bytes(part.read_bytes() + content)
    part.with_suffix(".md5").write_text(md5(part), encoding="ascii")


def test_only_whole_parts_of_the_same_work_are_used_again(project, table):
    output = table.with_name("out.csv")
    damage(interrupted(project, table) / "00000000.part")
    predict(project, table, "--output", output, "--resume", chunk=100)
    assert b"used again" in output.read_bytes()
    first = interrupted(project, table) / "00000000.part"
    first.write_bytes(first.read_bytes()[:-100])
    predict(project, table, "--output", output, "--resume", chunk=100)
    assert output.read_bytes().count(b"\n") == table.read_bytes().count(b"\n")
    for arguments, change in ((["--resume"], b"5000,great app\n"), ([], b"")):
        damage(interrupted(project, table) / "00000000.part")
        with table.open("ab") as file:
            file.write(change)
        predict(project, table, "--output", output, *arguments, chunk=100)
        assert b"used again" not in output.read_bytes()
        assert output.read_bytes().count(b"\n") == table.read_bytes().count(b"\n")


def test_two_processes_cannot_write_the_same_file(project, table):
    with FileLock(table.with_name(".out.csv.lock")):
        printed = predict(project, table, "--output", table.with_name("out.csv"), ok=False)
    assert "out.csv: another process is writing it" in printed


def test_a_truncated_gzip_is_reported_before_the_work_starts(project, tmp_path):
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(GOOD.encode() * 1000)[:-10])
    printed = predict(project, tmp_path / "in.csv.gz", "--output", tmp_path / "out.csv", ok=False)
    assert "is it complete, and its extension correct?" in printed
