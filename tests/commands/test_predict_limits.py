"""The command predict with hostile, changing and unusual files: one line, or a reason for each row."""

import csv
import gzip
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.commands.test_predict import command, predict
from tests.conftest import ROOT
from tests.formats import hostile

PEAK_MB = 500
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and links as Linux has them")


METER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""Measures a command from a small process, since Linux counts the memory of the parent at the start of a child."""


def peak_of(arguments):
    """Run a command; return its exit code, what it printed, and the megabytes of memory it took."""
    command = [sys.executable, "-c", METER, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    *printed, peak = done.stdout.splitlines()
    return done.returncode, "\n".join(printed), int(peak) / 1024


def test_a_small_file_with_a_long_text_for_many_rows_is_refused(project, tmp_path):
    (tmp_path / "a.parquet").write_bytes(hostile.dictionary_parquet(7_000_000, 100_000))
    assert (tmp_path / "a.parquet").stat().st_size < 2000
    code, printed, peak = peak_of(command(project, tmp_path / "a.parquet", "--output", tmp_path / "b.parquet"))
    assert code == 1
    assert "a.parquet: unpacks to more than --max-unpacked-mb (10000 MB)" in printed
    assert peak < PEAK_MB
    assert not (tmp_path / "b.parquet").exists()


def test_long_texts_get_a_reason_and_take_little_memory(project, tmp_path):
    (tmp_path / "a.parquet").write_bytes(hostile.dictionary_parquet(1_000_000, 700))
    code, printed, peak = peak_of(command(project, tmp_path / "a.parquet", "--output", tmp_path / "b.parquet"))
    assert (code, peak < PEAK_MB) == (0, True), printed
    assert "703 rows: 3 scored, 700 not scored (text is longer than 100000 characters: 700)" in printed
    assert pq.read_table(tmp_path / "b.parquet", columns=["score"]).num_rows == 703
    (tmp_path / "a.csv.gz").write_bytes(hostile.packed_field(200 << 20))
    code, printed, peak = peak_of(command(project, tmp_path / "a.csv.gz", "--output", tmp_path / "b.csv"))
    assert (code, peak < PEAK_MB) == (0, True), printed
    assert "3 rows: 2 scored, 1 not scored (row is longer than 1000000 characters: 1)" in printed
    with (tmp_path / "b.csv").open(encoding="utf-8", newline="") as file:
        assert [row[0][:8] for row in csv.reader(file)] == ["content", "good app", '"aaaaaaa', "bad app"]


def test_special_files_are_refused_by_their_name(project, tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("content\ngood app\n", encoding="utf-8")
    os.mkfifo(tmp_path / "pipe.csv")
    for arguments, message in (
        ([tmp_path / "pipe.csv", "--output", tmp_path / "b.csv"], "pipe.csv: is a named pipe, not a file; check input"),
        ([table, "--output", tmp_path / "pipe.csv"], "pipe.csv: is a named pipe, not a file; choose another name"),
        ([table, "--output", "/dev/full"], "/dev/full: is a device, not a file; choose another name"),
    ):
        printed = predict(project, *arguments, ok=False, timeout=60)
        assert message in printed
        assert printed.count("\n") == 1


def test_an_output_that_is_a_link_is_followed(project, tmp_path):
    (tmp_path / "a.csv").write_text("content\ngood app\n", encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "out.csv", tmp_path / "elsewhere/scored.csv"
    link.symlink_to(target)
    for _ in range(2):  # the target does not exist, and exists
        predict(project, tmp_path / "a.csv", "--output", link)
        assert link.is_symlink()
        assert target.read_text(encoding="utf-8").count("\n") == 2
    assert [path.name for path in target.parent.iterdir()] == ["scored.csv"]
    link.unlink()
    link.symlink_to(link.name)
    assert "a link that leads in a circle" in predict(project, tmp_path / "a.csv", "--output", link, ok=False)


def test_a_full_disk_names_the_path(project, tmp_path):
    with (tmp_path / "a.csv").open("w", encoding="utf-8") as file:
        file.write("content\n" + "good app, works fine\n" * 20_000)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    printed = predict(project, tmp_path / "a.csv", "--output", tmp_path / "b.csv", ok=False, preexec_fn=limit)
    assert str(tmp_path / ".b.csv.partial") in printed
    assert "File too large" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]
    with Path("/dev/full").open("wb") as full:
        arguments = command(project, tmp_path / "a.csv", "--output", "-")
        done = subprocess.run(arguments, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "standard output: No space left on device" in done.stderr


def test_an_input_that_changes_while_it_is_read_is_noticed(project, tmp_path):
    table, changed = tmp_path / "a.csv", threading.Event()
    table.write_text("content\n" + "good app\n" * 30_000, encoding="utf-8")

    def change():
        while not list(tmp_path.glob(".b.csv.partial/*.part")):
            if changed.wait(0.002):
                return
        with table.open("r+b") as file:
            file.write(b"contenT")

    thread = threading.Thread(target=change)
    thread.start()
    printed = predict(project, table, "--output", tmp_path / "b.csv", ok=False, chunk=1000)
    changed.set()
    thread.join()
    assert printed.endswith(f"{table}: changed while it was read; run again when it is complete\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]


def test_formulas_are_escaped_on_request(project, tmp_path):
    rows = [["content", "=1+1"], ["good app", "\uff1dcmd"], ["\u200b+good app", "-5"], ["bad", "fine"]]
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    predict(project, tmp_path / "a.csv", "--output", tmp_path / "plain.csv")
    predict(project, tmp_path / "a.csv", "--output", tmp_path / "safe.csv", "--spreadsheet-safe")
    plain, safe = (list(csv.reader((tmp_path / f"{name}.csv").open(encoding="utf-8"))) for name in ("plain", "safe"))
    assert [row[:2] for row in plain] == rows
    assert [row[:2] for row in safe] == [
        ["content", "'=1+1"],
        ["good app", "'\uff1dcmd"],
        ["'\u200b+good app", "'-5"],
        rows[3],
    ]
    assert [row[2:] for row in safe] == [row[2:] for row in plain]
    pd.DataFrame({"content": ["good"]}).to_parquet(tmp_path / "a.parquet")
    arguments = [tmp_path / "a.parquet", "--output", tmp_path / "b.parquet", "--spreadsheet-safe"]
    assert "--spreadsheet-safe is for CSV" in predict(project, *arguments, ok=False)


def test_a_packed_file_that_is_too_large_names_its_option(project, tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"content\n" + b"good app\n" * 200_000))
    arguments = [tmp_path / "a.csv.gz", "--output", tmp_path / "b.csv", "--max-unpacked-mb", "1"]
    assert "a.csv.gz: unpacks to more than --max-unpacked-mb (1 MB)" in predict(project, *arguments, ok=False)
