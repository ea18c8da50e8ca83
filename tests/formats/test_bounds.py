"""A small or a hostile file never fills the memory, and a row that is too large is refused alone."""

import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from src.core.errors import UserError
from src.core.files import require_file
from src.formats import json_records
from src.formats.archives import MAX_DIRECTORY
from src.formats.bounds import LONGEST_LINE, UnpackLimit
from src.formats.cells import read_cells
from src.formats.parquet_files import parquet_file
from src.formats.record_files import FileFormat
from src.formats.sources import find_files, local_copy, open_bytes, open_text, readable
from tests.conftest import ROOT
from tests.formats import hostile

TEXT = "text is longer than 1000 characters"
PEAK_MB = 500
PROGRAM = textwrap.dedent("""
    import json, sys
    from pathlib import Path
    from src.core.params import check_params
    from tests.conftest import changed_params
    from tests.formats.conftest import prepare_file
    found = prepare_file(Path(sys.argv[1]), check_params(changed_params({"data.max_text": 100_000}), "params.yaml"))
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps([found.texts, found.summary["rejected"], len(found.rejects), peak]))
    """)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the memory in kilobytes")
@pytest.mark.parametrize(
    ("name", "make", "used", "rejected"),
    [
        ("a.parquet", lambda: hostile.dictionary_parquet(7_000_000, 3000), set(hostile.GOOD), 3000),
        ("a.csv.gz", lambda: hostile.packed_field(300 << 20), {"good app", "bad app"}, 1),
    ],
)
def test_preparing_a_small_file_takes_little_memory(tmp_path, name, make, used, rejected):
    content = make()
    assert len(content) < 500_000
    (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / name)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    texts, reasons, written, peak = json.loads(printed)
    assert set(texts) == used
    assert sum(reasons.values()) == rejected
    assert written < 40_000_000
    assert peak < PEAK_MB


LONG = "a" * 1001
LONGEST = "b" * (LONGEST_LINE + 1)
PLAIN = [("good app", 5), ("bad app", 1)]


@pytest.mark.parametrize(
    ("name", "content", "reasons"),
    [
        ("a.csv", f"content,score\ngood app,5\n{LONG},1\n{LONGEST},1\nbad app,1\n", [TEXT, "row"]),
        ("a.csv", f'content,score\r\ngood app,5\r\n"{LONG}\n",1\r\n{LONGEST},1\r\nbad app,1\r\n', [TEXT, "row"]),
        ("a.csv", f'content,score\rgood app,5\r"{LONG}",1\r{LONGEST},1\rbad app,1\r', [TEXT, "row"]),
        *(
            (name, start + separator.join(json.dumps({"content": t, "score": s}) for t, s in rows) + end, reasons)
            for name, start, separator, end in (("a.jsonl", "", "\n", "\n"), ("a.json", "[", ",\n", "]"))
            for rows, reasons in (([PLAIN[0], (LONG, 1), (LONGEST, 1), PLAIN[1]], [TEXT, "row"]),)
        ),
        (
            "a.json",
            f'[{{"content": "good app", "score": 5}}, {hostile.deep_json(99999)}, '
            '{"content": "bad app", "score": 1}]',
            ["nested too deeply"],
        ),
        (
            "a.jsonl",
            f'{{"content": "good app", "score": 5}}\n{{"content": {hostile.deep_json(101)}, "score": 5}}\n'
            '{"content": "bad app", "score": 1}\n',
            ["nested too deeply"],
        ),
    ],
)
def test_a_row_that_is_too_large_is_rejected_and_the_others_are_kept(prepared, name, content, reasons):
    found = prepared(name, content.encode(), max_text=1000)
    assert sorted(found.texts) == ["bad app", "good app"]
    kinds = {reason.removesuffix(f" is longer than {LONGEST_LINE} characters") for reason in found.summary["rejected"]}
    assert kinds <= {*reasons, "row", TEXT}
    assert {TEXT, "nested too deeply"} & kinds
    assert found.summary["rows"]["read"] == 2 + sum(found.summary["rejected"].values())


def test_a_large_item_of_an_array_is_skipped_and_a_large_object_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(json_records, "LARGEST", 1 << 19)
    large = json.dumps({"content": 'a"[\\' * 200_000, "score": 1})
    path = tmp_path / "a.json"
    path.write_text(f'[{{"content": "a"}}, {large}, {"1" * 600_000}, {{"content": "b"}}]', encoding="utf-8")
    rows = list(read_cells(path, FileFormat(), ["content"]).rows)
    assert [cells for cells, problem in rows if not problem] == [["a"], ["b"]]
    assert [problem for _, problem in rows if problem] == [f"row is longer than {LONGEST_LINE} characters"] * 2
    path.write_text(f'{{\n"reviews": [{large}]}}', encoding="utf-8")
    with pytest.raises(UserError, match="write one record a line"):
        list(read_cells(path, FileFormat(), ["content"]).rows)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.csv.gz", lambda: hostile.packed_field(3 << 20), r"unpacks to more than data.max_unpacked_mb \(2 MB\)"),
        ("a.csv.gz.gz", lambda: hostile.gzip.compress(hostile.packed_field(3 << 20)), "unpacks to more than"),
        ("a.zip", lambda: hostile.many_members(MAX_DIRECTORY // 45), "contains more than 10000 files"),
        ("a.tar.gz", lambda: hostile.long_name_tar(1_000_000), "too long a name"),
        ("a.csv.xz", lambda: hostile.wide_xz(b"content\n", 1 << 31), "takes more than 256 MB of memory to unpack"),
        ("a.xlsx", lambda: hostile.far_sheet({"A1": "content", hostile.FAR_CELL: "x"}), "more than 1024 MB of memory"),
        ("a.csv", lambda: b"," * 20_000 + b"\n", "more than 16384 columns"),
    ],
)
def test_a_file_that_asks_for_too_much_is_refused_by_name(tmp_path, name, make, message):
    path = tmp_path / name
    path.write_bytes(make())

    with pytest.raises(UserError, match=message) as raised, readable(path):
        list(read_cells(path, FileFormat(max_unpacked_mb=2), ["content"]).rows)
    assert str(raised.value).startswith(f"{path}: ")


def test_a_page_may_not_claim_more_than_it_may_have(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(hostile.large_page_parquet(3_000_000, 130_000_000))
    with pytest.raises(UserError, match="a page takes 130 MB, more than 128"), parquet_file(path):
        pass


@pytest.mark.parametrize("nested", [False, True])
def test_the_batches_of_a_parquet_file_are_as_large_as_they_may_be(tmp_path, nested):
    path = tmp_path / "a.parquet"
    texts = ["a" * 1_000_000] * 100 + ["b", None]
    column = pa.array([[text, text] if text else None for text in texts]) if nested else pa.array(texts)
    table = pa.table({"content": column, "map": pa.array([[("k", "v")]] * 102, pa.map_(pa.string(), pa.string()))})
    pq.write_table(table, path, dictionary_pagesize_limit=1 << 30)
    with parquet_file(path) as file:
        batches = list(file.decoded())
        assert max(batch.nbytes for batch in batches) < 21_000_000
        assert pa.Table.from_batches(batches).equals(table)
        assert file.check() == 102
    limit = UnpackLimit(50, "data.max_unpacked_mb")
    with parquet_file(path, limit) as file, pytest.raises(UserError, match=r"data\.max_unpacked_mb"):
        file.check()


def test_a_download_is_bounded_as_it_comes_and_unpacked(tmp_path, make_params):
    from src.tables.readers import read_table

    path = tmp_path / "a.csv.gz"
    path.write_bytes(hostile.packed_field(3 << 20))
    data = make_params({"data.url_max_mb": 2}).data
    copy = local_copy(path.as_uri(), tmp_path / "copy", max_mb=data.url_max_mb)
    with pytest.raises(UserError, match=r"unpacks to more than data.url_max_mb \(2 MB\)"):
        list(read_table(copy, data, path.as_uri()).rows)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_refused_by_its_name_and_nothing_waits(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    (tmp_path / "folder.csv").mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s.csv"))
        for name, kind in (("a.csv", "a named pipe"), ("s.csv", "a socket"), ("/dev/null", "a device")):
            with pytest.raises(UserError, match=f"{name}: is {kind}, not a file"):
                find_files(str(tmp_path / name), "data.path")
            with pytest.raises(UserError, match=f"is {kind}, not a file"), open_bytes(tmp_path / name):
                pass
        with pytest.raises(UserError, match="is a folder, not a file"):
            require_file(tmp_path / "folder.csv")
        (tmp_path / "folder.csv").rmdir()
        with pytest.raises(UserError, match=r"is a (named pipe|socket), not a file; check data\.path"):
            find_files(str(tmp_path), "data.path")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
@example(0)
def test_a_hostile_file_is_read_or_refused_in_one_line(tmp_path_factory, seed):
    name, content = hostile.hostile_file(Random(seed))
    path = tmp_path_factory.mktemp("hostile") / name
    path.write_bytes(content)
    message = outcome(path)
    assert not message or (message.startswith(f"{path}: ") and "\n" not in message)


def outcome(path):
    """Read a file; return the message if it is refused."""
    try:
        with readable(path):
            for cells, _ in read_cells(path, FileFormat(max_unpacked_mb=100), ["content"]).rows:
                assert sum(map(len, cells)) <= 8 * LONGEST_LINE
    except UserError as error:
        return str(error)
    return ""


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("ab\r\n", max_size=30)), st.integers(3, 12))
def test_bounded_lines_are_the_lines_or_their_beginnings(tmp_path_factory, parts, longest):
    import src.formats.bounds as bounds

    path = tmp_path_factory.mktemp("lines") / "a.txt"
    text = "\n".join(parts)
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "LONGEST_LINE", longest)
        with open_text(path, "utf-8") as file:
            found = list(file)
    with path.open(encoding="utf-8", newline="") as file:
        expected = [line.rstrip("\r\n")[:longest] for line in file if line.strip("\r\n")]
    assert [line.rstrip("\r\n") for line in found if line.strip("\r\n")] == expected


def test_a_million_line_ends_of_another_kind_take_linear_time(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'content,score\ngood app,5\n"' + b"\r" * 1_000_000 + b"good app,5\n")
    start = time.process_time()
    assert outcome(path) == ""
    assert time.process_time() - start < 20  # a string that grows by each of them takes a minute
