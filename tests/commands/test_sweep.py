"""Sweeps, killed and interrupted too, and what follows them, on experiments that DVC really runs."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from commands.experiments import Experiment
from commands.sweep import combine, read_change
from src.core.errors import UserError
from src.core.files import read_json
from tests.conftest import ROOT, Project, changed_params, copy_of, experiments_of

KILLS = int(os.environ.get("REVIEWS_KILLS", "5"))
NAMES = {f"bins={bins}+bootstrap={times}" for bins in (5, 15, 20) for times in (100, 200)}
STASHED = """
from dvc.repo import Repo
with Repo() as repo:
    queue = repo.experiments.tempdir_queue
    changes = {"params.yaml": ["evaluate.bins=20"]}
    repo.experiments.queue_one(queue, params=changes, name="of-a-killed-run")
"""


@pytest.fixture(scope="module")
def swept(ready: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small project after a sweep of six experiments; what it said is in said.txt beside it."""
    copy = copy_of(ready, tmp_path_factory.mktemp("swept"))
    said = copy.run(sys.executable, "-m", "commands.sweep", "six", "--jobs", "2")
    (copy.path.parent / "said.txt").write_text(said, encoding="utf-8")
    return copy


def sweep(project: Project, *arguments: str, ok: bool = True) -> str:
    return project.run(sys.executable, "-m", "commands.sweep", *arguments, ok=ok)


def locks(project: Project) -> dict[str, str]:
    """What each experiment's dvc.lock says."""
    return {name: project.run("git", "show", f"{ref}:dvc.lock") for name, ref in experiments_of(project).items()}


def test_every_combination_is_run_under_its_name_and_never_again(swept: Project):
    said = (swept.path.parent / "said.txt").read_text(encoding="utf-8").splitlines()
    assert said[0] == "sweep: 0 of 6 experiments are there; logs in .dvc/tmp/sweep"
    assert {line.split(": log loss ")[0] for line in said[1:-1]} == NAMES
    assert said[-1].startswith("sweep: 6 of 6 experiments;")
    experiments = experiments_of(swept)
    assert set(experiments) == NAMES
    for name, commit in experiments.items():
        evaluate = YAML(typ="safe").load(swept.run("git", "show", f"{commit}:params.yaml"))["evaluate"]
        assert f"bins={evaluate['bins']}+bootstrap={evaluate['bootstrap']}" == name
    assert sweep(swept, "six") == "sweep: 6 of 6 experiments are there; nothing to run\n"
    assert experiments_of(swept) == experiments
    assert swept.changed_files() == set()


def test_the_first_runs_alone_so_that_the_others_find_what_all_share(swept: Project):
    ended = (swept.path / ".dvc/tmp/sweep/bins=5+bootstrap=100.log").stat().st_mtime
    runs = {read_json(path)["name"]: path.stat().st_mtime for path in (swept.path / ".dvc/tmp/exps/run").glob("*/*")}
    assert set(runs) == NAMES
    assert sorted(runs.values())[0] < ended < sorted(runs.values())[1]


def test_experiments_and_their_commit_are_tabulated(swept: Project):
    said = swept.run(sys.executable, "-m", "commands.seeds", "--over", "evaluate.bins", "--metrics", "log_loss,qwk")
    table = [line.split() for line in said.splitlines()]
    assert table[0] == ["evaluate.bootstrap", "n", "log_loss", "qwk"]
    assert [row[:2] for row in table[1:]] == [["100", "4"], ["200", "3"]]
    assert all("±" in row for row in table[1:])
    assert len(swept.run(sys.executable, "-m", "commands.seeds").splitlines()) == 1 + 1 + 6


def search(project: Project, *arguments: str) -> str:
    return project.run(sys.executable, "-m", "commands.search", *arguments)


def test_trials_are_recorded_as_experiments_and_a_search_goes_on(swept: Project, tmp_path: Path):
    copy = copy_of(swept, tmp_path)
    search(copy, "few", "--trials", "1")
    said = search(copy, "few", "--trials", "2").splitlines()
    assert [line.split(":")[0] for line in said] == ["search-few-1", "search-few-2", "search"]
    found = {name: commit for name, commit in experiments_of(copy).items() if name.startswith("search")}
    assert set(found) == {"search-few-1", "search-few-2"}
    losses = {
        name: json.loads(copy.run("git", "show", f"{commit}:metrics/train.json"))["valid_loss"]
        for name, commit in found.items()
    }
    best = min(losses, key=lambda name: (losses[name], name))
    assert said[-1].endswith(f"has valid loss {losses[best]}: dvc exp apply {best}")
    copy.run("dvc", "exp", "remove", "search-few-2")
    assert search(copy, "few", "--trials", "2").splitlines() == said
    assert copy.changed_files() == set()


def start(project: Project, *arguments: str) -> subprocess.Popen[str]:
    """Start a sweep that Ctrl-C reaches as in a terminal."""
    for log in (project.path / ".dvc/tmp/sweep").glob("*.log"):
        log.unlink()
    return subprocess.Popen(
        [sys.executable, "-m", "commands.sweep", *arguments],
        cwd=project.path,
        env=project.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where the tests run in background
    )


def wait_for_stage(process: subprocess.Popen[str], project: Project, name: str) -> None:
    """Wait until an experiment runs its stage."""
    log = project.path / f".dvc/tmp/sweep/{name}.log"
    while not log.exists() or "> python -m stages.evaluate" not in log.read_text(encoding="utf-8"):
        assert process.poll() is None
        time.sleep(0.05)


def wait_for_peace(project: Project) -> None:
    """Wait until no process works in the project or below."""
    while any((process.info["cwd"] or "").startswith(str(project.path)) for process in psutil.process_iter(["cwd"])):
        time.sleep(0.05)


def test_a_sweep_that_was_killed_and_interrupted_goes_on_and_ends_like_an_unbroken_one(
    ready: Project, swept: Project, tmp_path: Path
):
    copy = copy_of(ready, tmp_path)
    killed = start(copy, "three", "--jobs", "2")
    wait_for_stage(killed, copy, "bins=15+bootstrap=100")
    killed.kill()
    killed.wait()
    wait_for_peace(copy)
    assert set(experiments_of(copy)) == {"bins=5+bootstrap=100"}, "an orphan went on"
    assert list((copy.path / ".dvc/tmp/exps/standalone").glob("tmp*"))

    interrupted = start(copy, "three", "--jobs", "2")
    wait_for_stage(interrupted, copy, "bins=15+bootstrap=100")
    os.killpg(interrupted.pid, signal.SIGINT)
    said, _ = interrupted.communicate()
    assert interrupted.returncode == 1
    assert said.endswith("error: interrupted: 1 of 3 experiments are there; the same command goes on\n")
    wait_for_peace(copy)

    for seed in range(KILLS // 10):
        moment = random.Random(seed).uniform(0, 20)
        print(f"killed after {moment:.1f} s")
        killed = start(copy, "three", "--jobs", "2")
        time.sleep(moment)
        killed.kill()
        killed.wait()
        wait_for_peace(copy)
        assert copy.changed_files() == set()

    copy.run(sys.executable, "-c", STASHED)  # as a killed `dvc exp run` can leave it: neither ours to run nor to drop
    (copy.path / ".dvc/tmp/exps/rwlock").write_bytes(b"")  # as a kill of DVC can leave it
    sweep(copy, "three", "--jobs", "2")
    assert locks(copy) == {name: lock for name, lock in locks(swept).items() if name.endswith("=100")}
    assert copy.changed_files() == set()
    assert not list((copy.path / ".dvc/tmp/exps/standalone").glob("tmp*/*"))
    assert "of-a-killed-run" in copy.run("git", "reflog", "refs/exps/stash")


def test_a_failed_experiment_is_named_with_its_log_and_the_others_are_run(ready: Project, tmp_path: Path):
    copy = copy_of(ready, tmp_path)
    said = sweep(copy, "broken", ok=False).splitlines()
    assert set(experiments_of(copy)) == {"text_column=content"}
    (log,) = re.findall(r"^error: 1 of 2 experiments failed: text_column=nope \(see (.*)\);", said[-1])
    assert "no column nope" in (copy.path / log).read_text(encoding="utf-8")
    assert len([line for line in said if line.startswith("text_column=nope: failed, see ")]) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sixty"], "sixty: not in grids of sweeps.yaml; there are six, three, "),
        (["typing"], "lrr=0.1: train.lrr: unknown key; did you mean lr?"),
        (["nowhere"], "path=/tmp/reviews.csv: Git takes no such name"),
        (["twice"], "lr=0.001: the grid has it 2 times"),
        (["empty"], "sweeps.yaml: grids.empty.train.lr: not a list of values"),
        (["six", "-S", "train.lr"], "-S train.lr: not SECTION.KEY=VALUE"),
        (["six", "-S", "train.lr=fast"], "train.lr: input should be a valid number, not 'fast'"),
    ],
)
def test_what_cannot_be_swept_is_one_clear_line_before_anything_is_run(swept, arguments, says):
    said = sweep(swept, *arguments, ok=False)
    assert len(said.splitlines()) == 1
    assert says in said


def test_changed_files_and_other_experiments_of_the_name_are_refused(swept: Project, tmp_path: Path):
    copy = copy_of(swept, tmp_path)
    name = "bins=5+bootstrap=100"
    head = copy.run("git", "rev-parse", "HEAD").strip()
    copy.run("git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", "HEAD")
    said = sweep(copy, "six", ok=False)
    assert said == f"error: {name}: an experiment of this name has other parameters; dvc exp remove {name}\n"
    with (copy.path / "params.yaml").open("a", encoding="utf-8") as file:
        file.write("# mine\n")
    copy.run("git", "add", "params.yaml")
    said = sweep(copy, "six", ok=False)
    assert said.startswith("error: params.yaml: changed since the last commit")
    assert len(said.splitlines()) == 1
    assert (copy.path / "params.yaml").read_text(encoding="utf-8").endswith("# mine\n")


def test_names_are_made_of_the_settings():
    assert [experiment.name for experiment in combine({"train.lr": [0.001, 1e-5], "resample.strategy": ["none"]})] == [
        "lr=0.001+strategy=none",
        "lr=1e-05+strategy=none",
    ]
    (experiment,) = combine({"train.lr": [0.1], "pretrain.lr": [1], "baseline.C": [[0.3, 1.0]]})
    assert experiment.name == "train.lr=0.1+pretrain.lr=1+baseline.C=0.3,1.0"
    (experiment,) = combine({"model.bag_of_words": [True], "data.split_column": [None]})
    assert experiment.name == "bag_of_words=true+split_column=null"
    with pytest.raises(UserError, match=r"lr=1: the grid has it 2 times"):
        combine({"train.lr": [1, 1]})


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.001", 0.001), ("1e-3", 0.001), ("2", 2), ("none", "none"), ("null", None), ("false", False), ("'1'", "1")],
)
def test_a_change_on_the_command_line_has_the_type_that_it_has_in_yaml(text, value):
    key, read = read_change(f"train.lr={text}")
    assert (key, read, type(read)) == ("train.lr", value, type(value))


def test_values_arrive_in_params_yaml_with_their_types(tmp_path: Path):
    changes = {
        "train.lr": 1e-05,
        "train.epochs": 3,
        "train.resume": False,
        "data.split_column": "split",
        "data.encoding": None,
        "data.slice_columns": ["a b"],
        "data.separator": ";",
        "data.path": 'a:b=c,d\'s "größte" {x}',
        "prepare.split_salt": "null",
        "baseline.C": [0.3, 1.0],
    }
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    apply_overrides(path, Experiment("", changes).overrides)
    assert json.dumps(YAML(typ="safe", pure=True).load(path)) == json.dumps(changed_params(changes))
