"""Bad input ends in one clear line that says where the error is and how to fix it; no files are left behind."""

import gzip
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from functools import partial
from http.server import ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from src.core.errors import run
from tests.conftest import ROOT, changed_params
from tests.formats.test_locations import Answers
from tests.pipeline.test_contract import STAGES

GOOD = b"content,score\n" + b"".join(b"review number %d,%d\n" % (i, 1 + i % 5) for i in range(100))
RATED = "content,score\n" + "".join(f"review {i},%s\n" for i in range(100))


def table_rated(*ratings: object) -> bytes:
    """Return a table of 100 reviews that repeats these ratings in turn."""
    return (RATED % tuple(ratings[i % len(ratings)] for i in range(100))).encode()


TABLES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "one line end": (b"\n", "the file is empty"),
    "header only": (b"content,score\n", "no usable review for the train split"),
    "no such column": (b"contents,score\ngood,5\n", r"no column content; .*contents, score; did you mean contents\?"),
    "no such rating": (b"content,stars\ngood,5\n", r"no column score; set data\.rating_column .*: content, stars"),
    "wrong separator": (GOOD.replace(b",", b"^"), r"no column content"),
    "no header": (GOOD.split(b"\n", 1)[1], "no column content"),
    "same column twice": (b"content,score,score\ngood,5,4\n", "2 columns are called score"),
    "stray quotes": (
        GOOD + b'"good, really",5\n' * 50 + b'"so" good, really,4\n' * 9,
        "line 152: a quote is neither doubled nor .*set data.quoting to none",
    ),
    "rows with extra fields": (GOOD + b"a,b,c\n" * 50, "33% of the rows are rejected .wrong number of fields: 50"),
    "ratings as words": (table_rated("five", "one"), "100% of the rows are rejected .*row 1: rating 'five'"),
    "negative ratings": (table_rated(-1, 5, 4), "rating is not 1, 2, 3, 4 or 5: 34"),
    "huge ratings": (table_rated(1e9, 5, 4), "rating is not 1, 2, 3, 4 or 5"),
    "quarter stars": (table_rated(3.25, 5, 4), "rating is not 1, 2, 3, 4 or 5"),
    "out of ten": (
        table_rated(8, 10, 9),
        r"ratings run from 8 to 10 \(8, 9, 10\); in the section data of params.yaml, write rating_scale: \[1, 10\]",
    ),
    "from zero": (table_rated(0, 4, 3), r"ratings run from 0 to 4 .*rating_scale: \[0, 4\]"),
    "in words": (table_rated("good", "bad"), r"ratings are words .*write rating_map: \{bad: 1, good: 5\}"),
    "no ratings": (table_rated(""), "no rating: 100"),
    "one class": (table_rated(5), "all reviews have the same rating .*100 used"),
    "blank texts": (
        b"content,score\n" + b" ,5\n" * 9,
        r"no row has a text \(9 rows.*check data.text_column \(content\)",
    ),
    "one review repeated": (b"content,score\n" + b"good,5\n" * 1000, "no usable review for .*1 used.*999 duplicates"),
    "three reviews": (b"content,score\ngood,5\nbad,1\nfair,3\n", "no usable review for the .* split"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, "cannot be read: it is a PNG picture"),
}
FILES: dict[str, tuple[str, bytes, str]] = {
    "truncated gzip": ("a.csv.gz", gzip.compress(GOOD)[:-20], "cannot be read .*is it complete"),
    "not gzip": ("a.csv.gz", GOOD, "cannot be read"),
    "not zip": ("a.csv.zip", GOOD, "cannot be read"),
    "not parquet": ("a.parquet", GOOD, "cannot be read"),
    "empty parquet": ("a.parquet", b"", "cannot be read"),
    "unknown extension": ("a.log", GOOD, r"unknown kind of file .*set data\.format"),
    "a document": ("a.docx", GOOD, "it is a Word document: copy its table"),
    "not a spreadsheet": ("a.xlsx", GOOD, "cannot be read"),
    "no extension": ("reviews", GOOD, r"set data\.format"),
    "not json": ("a.jsonl", GOOD, "no column content"),
    "json of other columns": ("a.jsonl", b'{"text": "good"}\n', "no column content; set .* to one of: text"),
    "json list of other columns": ("a.json", b'[{"text": "good", "score": 5}]\n', "no column content"),
    "json list cut off": ("a.json", b'[{"content": "good", "score": 5},', "the array does not end"),
}
PARAMS: dict[str, tuple[dict[str, object], str]] = {
    "no such file": ({"data.path": "nowhere.csv"}, "nowhere.csv: no such file; check data.path"),
    "a folder of other files": ({"data.path": "."}, r"params\.yaml: unknown kind of file .*set data\.format"),
    "an unknown engine": ({"engine.name": "spark"}, "engine.name: input should be 'local' or 'dask'"),
    "no workers": ({"engine.workers": 0}, "engine.workers: input should be greater than or equal to 1"),
    "unknown key": ({"prepare.split_sallt": "a"}, "prepare.split_sallt: unknown key; did you mean split_salt"),
    "wrong type": ({"prepare.split_salt": 5}, "prepare.split_salt: input should be a valid string, not 5"),
    "out of range": ({"prepare.test_share": 1.5}, "prepare.test_share: input should be less than 1, not 1.5"),
    "not a number": ({"prepare.test_share": float("nan")}, "prepare.test_share: input should be a finite number"),
    "a number as text": ({"train.lr": "1e-3"}, "train.lr: input should be a valid number"),
    "nothing to train on": ({"prepare.test_share": 0.9, "prepare.valid_share": 0.1}, "nothing is left to train on"),
    "unknown language": ({"data.language": "klingon"}, "data.language: input should be 'arabic', 'danish'"),
    "unknown encoding": ({"data.encoding": "utf-9"}, "utf-9: unknown encoding; use auto"),
    "two characters as separator": ({"data.separator": ";;"}, "data.separator: must be auto or one character"),
    "a missing split column": ({"data.split_column": "split"}, r"no column split; set data\.split_column"),
    "no test split": ({"prepare.test_share": 0.0}, "no usable review for the test split"),
    "a negative seed": ({"base.seed": -1}, "base.seed: input should be greater than or equal to 0"),
}


@pytest.fixture
def fails(tmp_path, monkeypatch, capsys):
    """Return a function that runs a stage in an empty folder and checks that it ends with one line and no new files."""

    def check(message: str, changes: dict[str, object], stage: str = "prepare") -> None:
        monkeypatch.chdir(tmp_path)
        in_this_process = {"train.portable": False}
        YAML().dump(changed_params(in_this_process | changes), Path("params.yaml"))
        before = set(tmp_path.rglob("*"))
        with pytest.raises(SystemExit, match=message) as ended:
            run(import_module(f"stages.{stage}").main)
        line = str(ended.value.code)
        assert line.startswith("error: ")
        assert "\n" not in line
        assert len(line) < 700
        left = {path for path in set(tmp_path.rglob("*")) - before if path.is_file()}
        assert left == set()

    return check


@pytest.mark.parametrize("name", TABLES)
def test_a_bad_table(fails, tmp_path, name):
    content, message = TABLES[name]
    (tmp_path / "a.csv").write_bytes(content)
    fails(message, {"data.path": "a.csv"})


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file(fails, tmp_path, name):
    file, content, message = FILES[name]
    (tmp_path / file).write_bytes(content)
    fails(message, {"data.path": file})


@pytest.mark.parametrize("name", PARAMS)
def test_a_bad_parameter(fails, tmp_path, name):
    changes, message = PARAMS[name]
    (tmp_path / "a.csv").write_bytes(GOOD)
    fails(message, {"data.path": "a.csv"} | changes)


def test_parquet_with_another_schema(fails, tmp_path):
    pd.DataFrame({"content": [["a"], ["b"]], "score": [1, 2]}).to_parquet(tmp_path / "a.parquet")
    fails("text is not a string: 2", {"data.path": "a.parquet"})


def test_a_zip_with_two_files(fails, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as archive:
        archive.writestr("a.csv", GOOD)
        archive.writestr("b.csv", GOOD)
    fails("contains 2 files; it must contain exactly one", {"data.path": "a.csv.zip"})


def test_all_reviews_in_one_split(fails, tmp_path):
    lines = "".join(f"review {i},{1 + i % 5},train\n" for i in range(20))
    (tmp_path / "a.csv").write_text("content,score,split\n" + lines, encoding="utf-8")
    fails("no usable review for the test split", {"data.path": "a.csv", "data.split_column": "split"})


class Slow(Answers):
    """Answers after half a second."""

    def do_GET(self):
        time.sleep(0.5)
        super().do_GET()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gone.csv", "404"),
        ("cut.csv", "cut off after 3 of 99 bytes"),
        ("round.csv", "cannot be downloaded"),
        ("slow.csv", "timed out"),
        ("a b.csv", "cannot be downloaded"),
    ],
)
def test_a_bad_url(fails, path, message):
    answers = {
        "/gone.csv": (404, {}, b""),
        "/cut.csv": (200, {"Content-Length": "99"}, b"abc"),
        "/round.csv": (302, {"Location": "/round.csv"}, b""),
        "/slow.csv": (200, {}, GOOD),
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Slow if path == "slow.csv" else Answers, answers))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        fails(message, {"data.path": f"http://127.0.0.1:{server.server_port}/{path}", "data.url_timeout": 0.1})
    finally:
        server.shutdown()
        server.server_close()


def test_a_server_that_does_not_run(fails):
    fails("cannot be downloaded", {"data.path": "http://127.0.0.1:9/reviews.csv"})


@pytest.mark.parametrize("stage", ["clean", "resample", "pretrain", "baseline", "train", "evaluate", "export"])
def test_a_stage_before_its_inputs(fails, stage):
    fails("data/.*: no such file; run dvc repro", {}, stage)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_a_write_that_fails_half_way(tmp_path):
    """A limit on file sizes makes a write fail in the middle, as a full disk does."""
    import resource

    table = b"content,score\n" + b"".join(b"review number %d,%d\n" % (i, 1 + i % 5) for i in range(60_000))
    (tmp_path / "a.csv").write_bytes(table)
    YAML().dump(changed_params({"data.path": "a.csv"}), tmp_path / "params.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "stages.prepare"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "data").iterdir())


FULL_DISK = """
mount -t tmpfs -o size=8m tmpfs "$1" || exit 77
cp -r "$2"/* "$1" && cd "$1" && rm -rf "data/$4" "models/$4" "plots/$4" && [ "$4" = synthesize ] && rm -r data/raw
cat /dev/zero > filler 2> /dev/null
find . -type f | sort > "$2/before"
"$3" -m "stages.$4"
code=$?
find . -type f | sort | diff "$2/before" - >&2 && exit $code
"""


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk(project, tmp_path, stage):
    """On a file system without a free byte, each stage ends with one line and leaves no partial files."""
    disk, origin = tmp_path / "disk", tmp_path / "origin"
    disk.mkdir()
    origin.mkdir()
    for name in ("data", "models", "metrics", "plots", "stages", "src"):
        shutil.copytree(project.path / name, origin / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(project.path / "params.yaml", origin)
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL_DISK, "sh"]
    if not shutil.which("unshare"):
        pytest.skip("needs unshare to create a small file system")
    done = subprocess.run(
        [*command, disk, origin, sys.executable, stage],
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"cannot create a small file system: {done.stderr}")
    assert done.returncode == 1
    assert "No space left on device; fix this" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("length", [1, 100_000])
def test_a_closed_output_pipe_ends_quietly(length):
    read_end, write_end = os.pipe()
    os.close(read_end)
    program = f"from src.core.errors import run; run(lambda: print('a' * {length}))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


def test_tabs_in_params(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8").replace("  seed", "\tseed"))
    with pytest.raises(SystemExit, match=r"params\.yaml: not valid YAML: .*line 5"):
        run(import_module("stages.prepare").main)


def test_there_are_enough_cases():
    assert len(TABLES) + len(FILES) + len(PARAMS) + 14 >= 50
