"""A pipeline killed at any moment ends, once it is run again, with the bytes of one that never was."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from tests.conftest import Project, copy_project, experiments_of

KILLS = int(os.environ.get("REVIEWS_KILLS", "5"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project in which a training has several epochs and checkpoints within them."""
    project = copy_project(tmp_path_factory.mktemp("killed"))
    params = YAML(typ="safe").load(project.path / "params.yaml")
    params["pretrain"] |= {"epochs": 4, "batch_size": 4, "checkpoint_steps": 20}
    params["train"] |= {"epochs": 6, "batch_size": 4, "checkpoint_steps": 20}
    YAML().dump(params, project.path / "params.yaml")
    return project


def start_over(project: Project) -> None:
    """Forget every result: outputs, lock, cache, run cache, checkpoints."""
    for name in ("models", "metrics", "plots", ".dvc/cache", ".dvc/tmp", ".checkpoints"):
        shutil.rmtree(project.path / name, ignore_errors=True)
    for path in (project.path / "data").iterdir():
        if path.name not in ("extra", "vectors"):
            shutil.rmtree(path)
    (project.path / "dvc.lock").unlink(missing_ok=True)


def test_a_killed_pipeline_ends_with_the_same_lock(clone: Project):
    start_over(clone)
    started = time.monotonic()
    clone.run("dvc", "repro")
    whole = time.monotonic() - started
    expected = (clone.path / "dvc.lock").read_bytes()
    moments = [random.Random(seed).uniform(0, whole) for seed in range(KILLS)]
    print("killed after", ", ".join(f"{moment:.1f}" for moment in moments), "s")
    start_over(clone)
    ended = 0
    for moment in [*moments, None]:
        with (clone.path.parent / "said").open("w") as said:
            process = subprocess.Popen(["dvc", "repro"], cwd=clone.path, env=clone.env, stdout=said, stderr=said)
        try:
            failed = process.wait(timeout=moment) != 0
            words = (clone.path.parent / "said").read_text()
            if failed and "required key not provided" in words:
                # DVC writes dvc.lock in place: a kill in that moment breaks it, and the user has to remove it.
                (clone.path / "dvc.lock").unlink()
                clone.run("dvc", "repro")
            else:
                assert not failed, words
            assert (clone.path / "dvc.lock").read_bytes() == expected
            ended += 1
            if moment is not None:
                start_over(clone)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    print(f"{ended} runs ended, each with the same dvc.lock")
    assert "up to date" in clone.run("dvc", "repro")
    assert not list((clone.path / ".checkpoints").glob("*"))


def start_sweep(project: Project) -> subprocess.Popen[bytes]:
    """Start three experiments, the last two of them in parallel, without earlier results but with checkpoints."""
    project.run("dvc", "exp", "remove", "--all-commits")
    shutil.rmtree(project.path / ".dvc/cache/runs", ignore_errors=True)
    command = [sys.executable, "-m", "commands.sweep", "trainings", "--jobs", "2"]
    return subprocess.Popen(command, cwd=project.path, env=project.env)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def experiment_locks(project: Project) -> dict[str, str]:
    """Return the dvc.lock of each experiment."""
    return {name: project.run("git", "show", f"{ref}:dvc.lock") for name, ref in experiments_of(project).items()}


def test_killed_experiments_in_parallel_end_with_the_same_locks(clone: Project):
    clone.run("dvc", "repro")
    (clone.path / "sweeps.yaml").write_text("grids: {trainings: {train.lr: [0.001, 0.002, 0.004]}}", encoding="utf-8")
    clone.run("git", "add", "--all")
    clone.run("git", "commit", "--quiet", "--message", "results")
    started = time.monotonic()
    assert start_sweep(clone).wait() == 0
    whole = time.monotonic() - started
    expected = experiment_locks(clone)
    assert len(set(expected.values())) == 3
    checkpoints = clone.path / ".checkpoints"
    for seed in range(KILLS // 2 - 1):
        moment = random.Random(seed).uniform(0, whole)
        print(f"killed after {moment:.1f} s")
        sweep = start_sweep(clone)
        time.sleep(moment)
        kill(sweep)
    sweep = start_sweep(clone)
    while not list(checkpoints.glob("*/checkpoint.safetensors")):
        assert sweep.poll() is None
        time.sleep(0.05)
    kill(sweep)
    assert start_sweep(clone).wait() == 0
    assert experiment_locks(clone) == expected
    assert not list(checkpoints.glob("*")), "the last sweep did not continue from the checkpoint"


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_no_orphan_goes_on_when_dvc_is_killed(clone: Project, shell: str):
    """Some shells stay between `dvc` and the stage (dash), others put it in their own place (bash)."""
    if not Path(shell).exists():
        pytest.skip(f"this machine has no {shell}")
    clone.run("dvc", "repro", "train")
    process = subprocess.Popen(
        ["dvc", "repro", "--force", "--single-item", "train"],
        cwd=clone.path,
        env=clone.env | {"SHELL": shell},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("train: epoch 1"):
            break
    at_work = processes_in(clone.path)
    assert len(at_work) > 1
    process.kill()
    process.wait()
    _, orphans = psutil.wait_procs(at_work, timeout=10)
    assert not orphans


def processes_in(folder: Path) -> list[psutil.Process]:
    """Processes that work in a folder."""
    return [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(folder)]
