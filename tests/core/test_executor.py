"""A table in many files, on one machine or several, gives the same output as one file in one process."""

import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from operator import add

import pandas as pd
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from src.core import executor as executor_module
from src.core.errors import UserError
from src.core.executor import LocalExecutor, open_executor
from src.core.params import Engine
from src.core.schema import SPLITS
from stages import prepare
from tests.conftest import ROOT, SMALL, changed_params

pytest.importorskip("distributed")
STAGES = ("prepare", "teach", "clean", "encode")
EXTRA = {"a.csv": "content\nqqq\n", "b.jsonl": '{"content": "QQQ"}\n{"content": "zzz"}\n'}
"""Extra reviews, the second a duplicate; their words are too rare for the vocabulary."""
DASK = {"dask", "distributed", "fsspec"}
LOCAL_CLUSTER = {"engine.name": "dask", "engine.workers": 1}  # each worker imports TensorFlow, which takes seconds
ENV = os.environ | {"OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "False"}


def settings(scheduler=None):
    return Engine(name="dask", scheduler=scheduler, workers=2, memory=4.0)


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


@contextmanager
def processes():
    """Yield a function that starts Python modules in any folder; kill the processes when the block ends."""
    started = []

    def start(*arguments, cwd):
        process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=cwd, env=ENV, stderr=subprocess.DEVNULL)
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a scheduler with two workers, three processes that were not started in the project folder."""
    folder, port = tmp_path_factory.mktemp("elsewhere"), free_port()
    quiet = ["--dashboard-address", "127.0.0.1:0"]
    with processes() as start:
        start("dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), *quiet, cwd=folder)
        for number in (2, 3):
            worker = ["--host", f"127.0.0.{number}", "--nthreads", "1", *quiet, "--no-nanny"]
            start("dask", "worker", f"tcp://127.0.0.1:{port}", *worker, cwd=folder)
        yield f"tcp://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def table(project):
    return pd.read_csv(project.path / "data/raw/reviews.csv", dtype=str, keep_default_na=False)


def write_files(table, folder, sizes):
    """Write a table as files of `sizes` rows, in turn as CSV, JSON lines, TSV and Parquet."""
    folder.mkdir(parents=True)
    formats = {
        "csv": partial(pd.DataFrame.to_csv, index=False),
        "jsonl": partial(pd.DataFrame.to_json, orient="records", lines=True, force_ascii=False),
        "tsv.gz": partial(pd.DataFrame.to_csv, index=False, sep="\t"),
        "parquet": partial(pd.DataFrame.to_parquet, index=False),
    }
    start = 0
    for number, size in enumerate(sizes):
        # An empty JSON lines file has no columns.
        ending = list(formats)[number % len(formats)] if size else "csv"
        formats[ending](table[start : start + size], folder / f"{number:0{len(str(len(sizes) - 1))}}.{ending}")
        start += size
    assert start == len(table)


def run_stages(folder, path, changes, stages=STAGES, meanwhile=lambda process: None, program=None):
    """Run stages, or a program, in a copy of the project; call `meanwhile` with each process while it runs."""
    for code in ("src", "stages"):
        shutil.copytree(ROOT / code, folder / code, ignore=shutil.ignore_patterns("__pycache__"))
    YAML().dump(changed_params(SMALL | {"data.path": str(path)} | changes), folder / "params.yaml")
    (folder / "data/extra").mkdir(parents=True)
    for name, content in EXTRA.items():
        (folder / "data/extra" / name).write_text(content, encoding="utf-8")
    for stage in stages:
        command = [sys.executable, "-m", f"stages.{stage}"]
        if not changes:
            # The local engine must not import Dask.
            command[1:] = ["-c", f"import sys, stages.{stage} as s; s.main(); assert not {DASK} & set(sys.modules)"]
        if program:
            command[1:] = ["-c", program]
        process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=ENV)
        meanwhile(process)
        assert process.wait(timeout=120) == 0, process.stderr.read()
    return folder


@pytest.fixture(scope="module")
def files(table, tmp_path_factory):
    """A folder of five files in four formats; one file has no rows."""
    folder = tmp_path_factory.mktemp("table") / "files"
    write_files(table, folder, [3, 0, 190, 207, 100])
    return folder


@pytest.fixture(scope="module")
def local_run(files, tmp_path_factory):
    """A folder in which the stages have processed the files with the local engine."""
    return run_stages(tmp_path_factory.mktemp("local"), files, {})


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for part in ("data", "metrics")
        for path in (folder / part).rglob("*")
        if path.is_file()
    }


def check_same_reviews(folder, project):
    """Check that many files, beside extra ones, gave the same rows as one file, and the same encoded ids."""
    for split in SPLITS:
        for stage in ("prepare", "clean"):
            path = f"data/{stage}/{split}.parquet"
            pd.testing.assert_frame_equal(pd.read_parquet(folder / path), pd.read_parquet(project.path / path))
    ours = files_of(folder)
    for name, content in files_of(project.path).items():
        if (name.startswith("data/encode/") and "transfer" not in name) or name == "data/prepare/rejects.csv":
            assert ours[name] == content, name


def test_many_files_give_the_same_reviews_as_one_file(project, files, local_run):
    check_same_reviews(local_run, project)
    named = pd.read_csv(local_run / "data/prepare/files.csv")
    assert named.file.tolist() == sorted(path.name for path in files.iterdir())
    assert named["rows"].tolist() == [3, 0, 190, 207, 100]
    assert named.first_row.tolist() == [1, 4, 4, 194, 401]


@pytest.mark.parametrize("sizes", [[500], [200, 300]])
def test_one_file_and_two_files_of_a_folder(project, table, tmp_path, sizes):
    write_files(table, tmp_path / "files", sizes)
    (tmp_path / "run").mkdir()
    folder = run_stages(tmp_path / "run", tmp_path / "files", {}, ["prepare"])
    for split in SPLITS:
        path = f"data/prepare/{split}.parquet"
        pd.testing.assert_frame_equal(pd.read_parquet(folder / path), pd.read_parquet(project.path / path))


def test_more_files_than_a_process_may_hold_open(project, table, tmp_path):
    write_files(table, tmp_path / "files", [4] * 125)
    program = "import resource as r, stages.prepare as s; r.setrlimit(r.RLIMIT_NOFILE, (60, 60)); s.main()"
    folder = run_stages(tmp_path / "run", tmp_path / "files", {}, ["prepare"], program=program)
    path = "data/prepare/train.parquet"
    pd.testing.assert_frame_equal(pd.read_parquet(folder / path), pd.read_parquet(project.path / path))


def test_a_file_that_changes_while_it_is_read_is_refused(make_params, tmp_path, monkeypatch):
    params = make_params({"data.slice_columns": []})
    path, scratch = tmp_path / "reviews.csv", tmp_path / "scratch"
    scratch.mkdir()
    path.write_text("content,score\ngood,5\n", encoding="utf-8")
    work = prepare.Work(params.data, params.prepare, tmp_path, scratch, 1)
    source = prepare.SourceFile(0, str(path), None, extra=False)
    assert prepare.scan_file(work, source).rows == 1

    def change_meanwhile(rows, **_):
        for row in rows:
            path.write_text("content,score\ngood,5\nbad,1\n", encoding="utf-8")
            yield row

    monkeypatch.setattr(prepare, "progress_bar", change_meanwhile)
    with pytest.raises(UserError, match=r"reviews\.csv: changed while it was read"):
        prepare.scan_file(work, source)


def test_a_cluster_on_this_machine_writes_the_same_bytes(files, local_run, tmp_path):
    assert files_of(run_stages(tmp_path, files, LOCAL_CLUSTER)) == files_of(local_run)


def test_workers_started_elsewhere_write_the_same_bytes(cluster, files, local_run, tmp_path):
    """Workers that were started in another folder find the code and the files of the project."""
    changes = {"engine.name": "dask", "engine.scheduler": cluster}
    assert files_of(run_stages(tmp_path, files.as_uri(), changes)) == files_of(local_run)


def test_a_killed_worker_does_not_change_the_output(table, tmp_path):
    write_files(table, tmp_path / "files", [25] * 20)
    dask, local = tmp_path / "dask", tmp_path / "local"
    killed = []

    def kill_a_worker(process):
        """Kill a worker as soon as the stage has written a file; teach has none."""
        if "stages.teach" in process.args:
            return
        while not [path for path in dask.glob("data/.*.partial/**/*") if path.is_file()]:
            assert process.poll() is None
            time.sleep(0.005)
        workers = psutil.Process(process.pid).children(recursive=True)
        worker = next(worker for worker in workers if "spawn_main" in " ".join(worker.cmdline()))
        worker.kill()
        killed.append(worker)

    stages = ["prepare", "teach", "clean"]
    dask.mkdir()
    run_stages(dask, tmp_path / "files", LOCAL_CLUSTER | {"engine.workers": 2}, stages, meanwhile=kill_a_worker)
    assert len(killed) == 2
    local.mkdir()
    assert files_of(dask) == files_of(run_stages(local, tmp_path / "files", {}, stages))


def die_once(folder, number):
    """Return the number in a list; the first call for 3 kills the worker."""
    time.sleep(0.05)
    if number == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return [number]


@given(st.lists(st.integers(), min_size=1))
def test_a_fold_keeps_the_order(numbers):
    assert LocalExecutor().fold(lambda number: [number], add, numbers) == numbers


def test_results_are_in_order_after_a_worker_dies(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with open_executor(settings()) as executor:
        assert executor.map(partial(die_once, tmp_path), range(9)) == [[number] for number in range(9)]
        (tmp_path / "died").unlink()
        assert executor.fold(partial(die_once, tmp_path), add, range(9)) == list(range(9))


def test_every_run_uses_its_own_code(cluster, tmp_path, monkeypatch):
    """Workers import code again when it has changed, and two runs that share workers do not mix their code."""

    def read_answer(_):
        return importlib.import_module("src.answer").ANSWER

    executors = {}
    with ExitStack() as opened:
        for name, answer in (("a", 1), ("b", 2), ("a", 34)):  # Python detects a change within a second by the file size
            source = tmp_path / name / "src"
            source.mkdir(parents=True, exist_ok=True)
            (source / "__init__.py").touch()
            (source / "answer.py").write_text(f"ANSWER = {answer}\n", encoding="utf-8")
            monkeypatch.chdir(source.parent)
            executors[answer] = opened.enter_context(open_executor(settings(cluster)))
            assert set(executors[answer].map(read_answer, range(4))) == {answer}
        for answer in (2, 34, 2):
            assert set(executors[answer].map(read_answer, range(4))) == {answer}


def always_die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(number):
    raise UserError(f"file {number}: broken")


def test_errors_are_one_clear_line(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(executor_module, "CONNECT_TIMEOUT", 2)
    with pytest.raises(UserError, match="no Dask scheduler"), open_executor(settings(f"tcp://127.0.0.1:{free_port()}")):
        pass
    with pytest.raises(UserError, match=r"needs engine\.name: dask"):  # noqa: SIM117
        with open_executor(settings("tcp://127.0.0.1:1").model_copy(update={"name": "local"})):
            pass
    with pytest.raises(UserError, match="file 0: broken"), open_executor(settings()) as executor:
        executor.map(refuse, [0])
    with pytest.raises(UserError, match=r"increase engine\.memory, or split"), open_executor(settings()) as executor:
        executor.map(always_die, [0])
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-cluster\.txt"), open_executor(settings()):
        pass


def score_command(project, *arguments):
    """Return a command that scores a table in chunks of 20 rows."""
    program = "import src.tables.writers; src.tables.writers.CHUNK_ROWS = 20; from commands.predict import *; run(main)"
    return [sys.executable, "-c", program, *arguments, "--model", project.path / "models/export"]


@pytest.fixture(scope="module")
def scored_files(project, files, tmp_path_factory):
    """The output of predict for each file by itself, as bytes."""
    folder = tmp_path_factory.mktemp("scored")
    for path in files.iterdir():
        output = folder / path.name.removesuffix(".gz")
        subprocess.run(score_command(project, path, "--output", output), cwd=ROOT, capture_output=True, check=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("where", ["local", "dask", "elsewhere"])
def test_a_folder_is_scored_file_by_file(project, cluster, files, scored_files, tmp_path, where):
    command = [sys.executable, "-m", "commands.predict", files, "--output", tmp_path / "scored"]
    command += ["--model", project.path / "models/export", "--engine", "local" if where == "local" else "dask"]
    command += ["--scheduler", cluster] if where == "elsewhere" else []
    output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, env=ENV).stdout
    assert output.startswith("predict: 500 rows: ")
    assert {path.name: path.read_bytes() for path in (tmp_path / "scored").iterdir()} == scored_files
    assert [path.name for path in tmp_path.iterdir()] == ["scored"]


def test_a_bad_file_on_a_cluster_is_one_clear_line(project, files, tmp_path):
    shutil.copytree(files, tmp_path / "files")
    (tmp_path / "files/_SUCCESS").touch()
    (tmp_path / "files/z.csv").write_text("other\n1\n", encoding="utf-8")
    command = [sys.executable, "-m", "commands.predict", tmp_path / "files", "--output", tmp_path / "scored"]
    command += ["--model", project.path / "models/export", "--engine", "dask"]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False, env=ENV)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "z.csv: no column content" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_bad_file_does_not_cost_the_other_files(project, files, scored_files, tmp_path):
    shutil.copytree(files, tmp_path / "files")
    (tmp_path / "files/z.csv").write_text("other\n1\n", encoding="utf-8")
    command = score_command(project, tmp_path / "files", "--output", tmp_path / "scored", "--resume")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "z.csv: no column content" in done.stderr
    before = {path.name: path.stat().st_ino for path in (tmp_path / ".scored.partial").glob("[0-9]*")}
    assert before.keys() == scored_files.keys()
    (tmp_path / "files/z.csv").unlink()
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    assert {path.name: path.stat().st_ino for path in (tmp_path / "scored").iterdir()} == before


@pytest.mark.parametrize("changed", ["", "output", "input"])
def test_resume_keeps_finished_files_unless_they_or_their_input_changed(
    project, files, scored_files, tmp_path, changed
):
    shutil.copytree(files, tmp_path / "files")
    command = score_command(project, tmp_path / "files", "--output", tmp_path / "scored", "--resume")
    parts = tmp_path / ".scored.partial"
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while not (parts / ".0.csv.json").exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    written = (parts / "0.csv").stat().st_ino
    if changed:
        with (parts / "0.csv" if changed == "output" else tmp_path / "files/0.csv").open("a") as file:
            file.write("1,a\n")
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    found = {path.name: path.read_bytes() for path in (tmp_path / "scored").iterdir()}
    assert ((tmp_path / "scored/0.csv").stat().st_ino == written) == (not changed)
    if changed == "input":
        assert found.pop("0.csv").count(b"\n") == scored_files["0.csv"].count(b"\n") + 1
    assert found == {name: content for name, content in scored_files.items() if name in found}
