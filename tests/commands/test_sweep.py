"""Sweeps and searches with real DVC experiments, also killed and interrupted ones."""

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
from tests.conftest import ROOT, Project, changed_params, copy_of, experiments_of

KILLS = int(os.environ.get("REVIEWS_KILLS", "5"))
NAMES = {f"bins={bins}+bootstrap={times}" for bins in (5, 15, 20) for times in (100, 200)}


@pytest.fixture(scope="module")
def swept(ready: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small project after a sweep of six experiments; its output is in output.txt next to the project."""
    copy = copy_of(ready, tmp_path_factory.mktemp("swept"))
    (copy.path.parent / "output.txt").write_text(sweep(copy, "six", "--jobs", "2"), encoding="utf-8")
    return copy


def sweep(project: Project, *arguments: str, ok: bool = True) -> str:
    return project.run(sys.executable, "-m", "commands.sweep", *arguments, ok=ok)


def locks(project: Project) -> dict[str, str]:
    """The dvc.lock of each experiment."""
    return {name: project.run("git", "show", f"{ref}:dvc.lock") for name, ref in experiments_of(project).items()}


def test_every_combination_is_run_once(swept: Project):
    output = (swept.path.parent / "output.txt").read_text(encoding="utf-8").splitlines()
    assert output[0] == "sweep: 0 of 6 experiments are finished; logs in .dvc/tmp/sweep"
    assert {line.split(": log loss ")[0] for line in output[1:-1]} == NAMES
    assert output[-1].startswith("sweep: 6 of 6 experiments are finished;")
    experiments = experiments_of(swept)
    assert set(experiments) == NAMES
    for name, commit in experiments.items():
        evaluate = YAML(typ="safe").load(swept.run("git", "show", f"{commit}:params.yaml"))["evaluate"]
        assert f"bins={evaluate['bins']}+bootstrap={evaluate['bootstrap']}" == name
    assert sweep(swept, "six") == "sweep: 6 of 6 experiments are finished; nothing to run\n"
    assert experiments_of(swept) == experiments
    assert swept.changed_files() == set()


def test_dvc_shows_and_applies_the_experiments(swept: Project, tmp_path: Path):
    copy = copy_of(swept, tmp_path)
    shown = copy.run("dvc", "exp", "show", "--csv")
    assert all(f"\n{name}," in shown for name in NAMES)
    copy.run("dvc", "exp", "apply", "bins=20+bootstrap=200")
    assert {"dvc.lock", "params.yaml"} <= copy.changed_files()
    assert "up to date" in copy.run("dvc", "repro")
    copy.run("git", "reset", "--quiet", "--hard")
    copy.run("dvc", "exp", "branch", "bins=20+bootstrap=200", "best")
    assert copy.run("git", "rev-parse", "best").strip() == experiments_of(copy)["bins=20+bootstrap=200"]


def test_seeds_prints_a_table_of_the_commit_and_its_experiments(swept: Project):
    output = swept.run(sys.executable, "-m", "commands.seeds", "--over", "evaluate.bins", "--metrics", "log_loss,qwk")
    table = [line.split() for line in output.splitlines()]
    assert table[0] == ["evaluate.bootstrap", "n", "log_loss", "qwk"]
    assert [row[:2] for row in table[1:]] == [["100", "4"], ["200", "3"]]
    assert all("±" in row for row in table[1:])
    assert len(swept.run(sys.executable, "-m", "commands.seeds").splitlines()) == 1 + 1 + 6


def search(project: Project, *arguments: str) -> str:
    return project.run(sys.executable, "-m", "commands.search", *arguments)


def test_trials_are_recorded_as_experiments_and_a_search_continues(swept: Project, tmp_path: Path):
    copy = copy_of(swept, tmp_path)
    search(copy, "few", "--trials", "1")
    output = search(copy, "few", "--trials", "2").splitlines()
    assert [line.split(":")[0] for line in output] == ["search-few-1", "search-few-2", "search"]
    found = {name: commit for name, commit in experiments_of(copy).items() if name.startswith("search")}
    assert set(found) == {"search-few-1", "search-few-2"}
    losses = {
        name: json.loads(copy.run("git", "show", f"{commit}:metrics/train.json"))["valid_loss"]
        for name, commit in found.items()
    }
    best = min(losses, key=lambda name: (losses[name], name))
    assert output[-1] == f"search: best of 2 trials: validation loss {losses[best]}; dvc exp apply {best}"
    copy.run("dvc", "exp", "remove", "search-few-2")
    assert search(copy, "few", "--trials", "2").splitlines() == output
    assert copy.changed_files() == set()


def start(project: Project, *arguments: str) -> subprocess.Popen[str]:
    """Start a sweep that can be interrupted like with Ctrl-C in a terminal."""
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
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs ignore it
    )


def wait_for_stage(process: subprocess.Popen[str], project: Project, name: str) -> None:
    """Wait until an experiment runs the stage evaluate."""
    log = project.path / f".dvc/tmp/sweep/{name}.log"
    while not log.exists() or "> python -m stages.evaluate" not in log.read_text(encoding="utf-8"):
        assert process.poll() is None
        time.sleep(0.05)


def wait_for_processes(project: Project) -> None:
    """Wait until no process has the project or a folder in it as its working directory."""
    while any((process.info["cwd"] or "").startswith(str(project.path)) for process in psutil.process_iter(["cwd"])):
        time.sleep(0.05)


def test_a_killed_and_interrupted_sweep_continues_and_gives_the_same_results(
    ready: Project, swept: Project, tmp_path: Path
):
    copy = copy_of(ready, tmp_path)
    killed = start(copy, "three", "--jobs", "2")
    wait_for_stage(killed, copy, "bins=15+bootstrap=100")
    killed.kill()
    killed.wait()
    wait_for_processes(copy)
    assert set(experiments_of(copy)) == {"bins=5+bootstrap=100"}, "only the first one, which runs alone, had ended"
    clones = copy.path / ".dvc/tmp/sweep/clones"
    assert list(clones.iterdir())

    interrupted = start(copy, "three", "--jobs", "2")
    wait_for_stage(interrupted, copy, "bins=15+bootstrap=100")
    os.killpg(interrupted.pid, signal.SIGINT)
    output, _ = interrupted.communicate()
    assert interrupted.returncode == 1
    message = "interrupted: 1 of 3 experiments are finished; run the same command to continue"
    assert output.endswith(f"error: {message}\n")
    wait_for_processes(copy)

    for seed in range(KILLS // 10):
        moment = random.Random(seed).uniform(0, 20)
        print(f"killed after {moment:.1f} s")
        killed = start(copy, "three", "--jobs", "2")
        time.sleep(moment)
        killed.kill()
        killed.wait()
        wait_for_processes(copy)
        assert copy.changed_files() == set()

    sweep(copy, "three", "--jobs", "2")
    assert locks(copy) == {name: lock for name, lock in locks(swept).items() if name.endswith("=100")}
    assert copy.changed_files() == set()
    assert not list(clones.iterdir())


def test_a_failed_experiment_is_reported_with_its_log_and_the_others_run(ready: Project, tmp_path: Path):
    copy = copy_of(ready, tmp_path)
    output = sweep(copy, "broken", ok=False).splitlines()
    assert set(experiments_of(copy)) == {"text_column=content"}
    (log,) = re.findall(r"^error: 1 of 2 experiments failed: text_column=nope \(see (.*)\);", output[-1])
    assert "no column nope" in (copy.path / log).read_text(encoding="utf-8")
    assert len([line for line in output if line.startswith("text_column=nope: failed, see ")]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sixty"], "sweeps.yaml: grids has no sixty; choose one of six, three, "),
        (["typing"], "lrr=0.1: train.lrr: unknown key; did you mean lr?"),
        (["nowhere"], "path=/tmp/reviews.csv: Git does not accept this experiment name"),
        (["twice"], "lr=0.001: the grid contains this experiment 2 times"),
        (["empty"], "sweeps.yaml: grids.empty.train.lr: expected a list of values"),
        (["six", "-S", "train.lr"], "-S train.lr: expected SECTION.KEY=VALUE"),
        (["six", "-S", "train.lr=fast"], "train.lr: input should be a valid number, not 'fast'"),
    ],
)
def test_a_bad_grid_or_option_is_refused_in_one_line(swept, arguments, message):
    output = sweep(swept, *arguments, ok=False)
    assert len(output.splitlines()) == 1
    assert message in output


def test_uncommitted_changes_and_a_name_in_use_are_refused(swept: Project, tmp_path: Path):
    copy = copy_of(swept, tmp_path)
    name = "bins=5+bootstrap=100"
    head = copy.run("git", "rev-parse", "HEAD").strip()
    copy.run("git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", "HEAD")
    output = sweep(copy, "six", ok=False)
    assert output.startswith(
        f"error: {name}: an experiment with this name but other parameters exists; remove it with "
    )
    with (copy.path / "params.yaml").open("a", encoding="utf-8") as file:
        file.write("# mine\n")
    copy.run("git", "add", "params.yaml")
    output = sweep(copy, "six", ok=False)
    assert output.startswith("error: params.yaml: changed since the last commit")
    assert len(output.splitlines()) == 1
    assert (copy.path / "params.yaml").read_text(encoding="utf-8").endswith("# mine\n")


def test_names_consist_of_the_settings():
    assert [experiment.name for experiment in combine({"train.lr": [0.001, 1e-5], "resample.strategy": ["none"]})] == [
        "lr=0.001+strategy=none",
        "lr=1e-05+strategy=none",
    ]
    (experiment,) = combine({"train.lr": [0.1], "pretrain.lr": [1], "baseline.C": [[0.3, 1.0]]})
    assert experiment.name == "train.lr=0.1+pretrain.lr=1+baseline.C=0.3,1.0"
    (experiment,) = combine({"model.bag_of_words": [True], "data.split_column": [None]})
    assert experiment.name == "bag_of_words=true+split_column=null"
    with pytest.raises(UserError, match=r"lr=1: the grid contains this experiment 2 times"):
        combine({"train.lr": [1, 1]})


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.001", 0.001), ("1e-3", 0.001), ("2", 2), ("none", "none"), ("null", None), ("false", False), ("'1'", "1")],
)
def test_values_on_the_command_line_have_their_yaml_types(text, value):
    key, read = read_change(f"train.lr={text}")
    assert (key, read, type(read)) == ("train.lr", value, type(value))


def test_dvc_writes_values_to_params_yaml_with_their_types(tmp_path: Path):
    changes = {
        "train.lr": 1e-05,
        "train.epochs": 3,
        "train.resume": False,
        "data.extra_path": "more reviews",
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
