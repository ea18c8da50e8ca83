"""Distributed training gives the same model, whether one of its processes is killed or not."""

import json
import os
import socket
import subprocess
import sys
import textwrap

import numpy as np
import psutil
import pytest
from ruamel.yaml import YAML
from safetensors.torch import load_file, save

from src.text.encoded import save_encoded
from tests.conftest import ROOT, changed_params, copy_of
from tests.learning.test_training import order_decides
from tests.pipeline.test_kills import processes_in

PLAIN = [sys.executable, "-m", "stages.train"]
SMALL = {
    "model.embedding_dim": 8,
    "model.hidden_size": 8,
    "model.word_pairs": 64,
    "train.batch_size": 7,
    "train.checkpoint_steps": 10,
    "train.portable": False,
}
NO_DROPOUT = {"model.dropout": 0.0, "model.word_dropout": 0.0, "train.epochs": 3, "train.min_steps": 0}


def torchrun(processes, restarts=0):
    options = ["--standalone", f"--nproc-per-node={processes}", f"--max-restarts={restarts}"]
    return [sys.executable, "-m", "torch.distributed.run", *options, "-m", "stages.train"]


@pytest.fixture
def make_folder(tmp_path_factory):
    """Make a folder with everything the stage `train` reads: 85 reviews, that is 12 batches of 7 and one of 1."""

    def make(**changes):
        folder = tmp_path_factory.mktemp("ranks")
        for name, count in (("train", 90), ("valid", 300)):
            save_encoded(folder / "data/encode" / name, order_decides(count, seed=count))
        (folder / "data/encode/vocabulary.txt").write_text("w\n" * 7, encoding="utf-8")
        (folder / "data/resample").mkdir()
        np.save(folder / "data/resample/rows.npy", np.sort(np.arange(85) * 7 % 90))
        (folder / "data/resample/log_prior_shift.json").write_text("[0.1, -0.1]", encoding="utf-8")
        (folder / "models/pretrain").mkdir(parents=True)
        (folder / "models/pretrain/model.safetensors").write_bytes(save({}))
        YAML().dump(changed_params(SMALL | changes), folder / "params.yaml")
        return folder

    return make


def start(folder, command, more=None):
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)} | (more or {})
    return subprocess.Popen(
        command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=1
    )


def finish(process):
    output, _ = process.communicate()
    return output


def run(folder, command):
    process = start(folder, command)
    output = finish(process)
    assert process.returncode == 0, output
    assert not processes_in(folder)
    assert not list((folder / ".checkpoints").iterdir())
    return output


def results(folder):
    """Return all files that the stage wrote, as bytes."""
    files = [path for place in ("models/train", "metrics", "plots") for path in (folder / place).rglob("*.*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.is_file()}


def read_until(process, beginning):
    for line in process.stdout:
        if line.startswith(beginning):
            break


def ranks_of(process):
    return [child for child in psutil.Process(process.pid).children() if "stages.train" in child.cmdline()]


def test_torchrun_with_one_process_changes_no_byte_and_with_two_gives_the_same_curves(make_folder):
    plain, one, two = (make_folder(**NO_DROPOUT, **{"train.processes": count}) for count in (1, 1, 2))
    run(plain, PLAIN)
    output = run(one, torchrun(1))
    assert results(one) == results(plain)
    assert output.count("train: epoch 1") == 1
    assert run(two, torchrun(2)).count("train: epoch 1") == 1  # only the main process prints
    expected, metrics = (json.loads((folder / "metrics/train.json").read_text()) for folder in (plain, two))
    assert metrics == pytest.approx(expected, rel=1e-4)
    expected_weights, weights = (load_file(folder / "models/train/model.safetensors") for folder in (plain, two))
    for name, values in expected_weights.items():
        np.testing.assert_allclose(weights[name], values, rtol=0, atol=1e-4)


def test_validation_metrics_do_not_depend_on_the_number_of_processes(tmp_path):
    """Nor do gradients, even if a process has no review in the batch."""
    (tmp_path / "measure.py").write_text(
        textwrap.dedent("""
            import numpy as np, torch
            from src.learning.model import ReviewModel
            from src.learning.distributed import is_main_process, process_group, rank, sum_gradients, world_size
            from src.learning.classification import ClassificationTask
            from tests.learning.test_training import order_decides, settings

            torch.set_num_threads(1)
            with process_group(torch.device("cpu")):
                torch.manual_seed(1)
                model = ReviewModel(settings().model, words=9, classes=2)
                reviews = order_decides(600, 1)
                task = ClassificationTask(model, reviews, np.arange(600), reviews, np.zeros(2))
                metrics = task.validate()
                model.eval()
                batch = np.arange(1)
                own = batch[rank() :: world_size()]
                if len(own):
                    loss, _ = task.loss(own)
                    (loss * len(own) / len(batch)).backward()
                sum_gradients(model.parameters())
                gradient = float(sum(weights.grad.abs().sum() for weights in model.parameters()))
                if is_main_process():
                    print(world_size(), gradient, metrics)
            """),
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "measure.py"]
    output = [finish(start(tmp_path, which)) for which in ([sys.executable, "measure.py"], command)]
    (one, gradient, metrics), (two, gradient_of_two, metrics_of_two) = (line.strip().split(" ", 2) for line in output)
    assert (one, two) == ("1", "2")
    assert metrics == metrics_of_two
    assert float(gradient_of_two) == pytest.approx(float(gradient), rel=1e-5)


LONG = {"train.epochs": 8, "train.min_steps": 0, "train.patience": 8, "train.batch_size": 3}


def test_a_killed_process_is_restarted_and_changes_no_byte(make_folder):
    """With three processes, sums depend on their order."""
    whole, killed = (make_folder(**LONG, **{"train.processes": 3}) for _ in range(2))
    run(whole, PLAIN)
    process = start(killed, PLAIN)
    read_until(process, "train: epoch 2")
    ranks_of(process)[-1].kill()
    output = finish(process)
    assert process.returncode == 0, output
    assert "a worker process was killed; restarting all workers (restart 1 of 3)" in output
    assert "Traceback" not in output
    assert results(killed) == results(whole)
    assert not processes_in(killed)


def test_the_same_command_continues_after_a_kill(make_folder):
    """Kill a process (the other one prints one clear line), then torchrun (no orphan), then a process with restarts."""
    whole, killed = (make_folder(**LONG, **{"train.processes": 2}) for _ in range(2))
    run(whole, torchrun(2))

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    place = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    first, second = (start(killed, PLAIN, place | {"RANK": rank, "LOCAL_RANK": rank}) for rank in "01")
    read_until(first, "train: epoch 2")
    second.kill()
    finish(second)
    lines = [line for line in finish(first).splitlines() if not line.startswith("train: epoch")]
    assert first.returncode == 1
    assert len(lines) == 1
    assert lines[0].startswith("error: another process of this training has ended or cannot be reached (")

    process = start(killed, torchrun(2))
    read_until(process, "train: epoch 4")
    ranks = ranks_of(process)
    assert len(ranks) == 2
    process.kill()
    finish(process)
    _, orphans = psutil.wait_procs(ranks, timeout=10)
    assert not orphans

    process = start(killed, torchrun(2, restarts=1))
    read_until(process, "train: epoch 5")
    ranks_of(process)[-1].kill()
    output = finish(process)
    assert process.returncode == 0, output
    assert results(killed) == results(whole)


def test_an_error_that_a_restart_cannot_fix_is_not_retried(make_folder):
    folder = make_folder(**{"train.processes": 2, "train.lr": 1e30, "train.max_grad_norm": 1e30})
    process = start(folder, PLAIN)
    output = finish(process)
    assert process.returncode == 1
    assert "error: the loss is no longer a number" in output
    assert "restarting" not in output
    assert "Traceback" not in output


def test_a_number_of_processes_that_differs_from_the_parameter_is_refused(make_folder):
    process = start(make_folder(), torchrun(2))
    assert "error: train.processes: 1, but 2 processes were started; set it to 2" in finish(process)
    assert process.returncode == 1


def test_dvc_runs_several_processes(project, tmp_path):
    copy = copy_of(project, tmp_path)
    output = copy.run("dvc", "exp", "run", "--set-param", "train.processes=2", "train")
    assert "train: epoch 2" in output
    assert not processes_in(copy.path)
    assert "Data and pipelines are up to date" in copy.run("dvc", "repro", "train")
