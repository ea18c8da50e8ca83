"""Several processes share a training: the same model, whether one of them is killed or not."""

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
    "train.batch_size": 7,
    "train.checkpoint_steps": 10,
    "train.portable": False,
}
NO_DROPOUT = {"model.dropout": 0.0, "model.word_dropout": 0.0, "train.epochs": 3}


def torchrun(processes, restarts=0):
    options = ["--standalone", f"--nproc-per-node={processes}", f"--max-restarts={restarts}"]
    return [sys.executable, "-m", "torch.distributed.run", *options, "-m", "stages.train"]


@pytest.fixture
def make_folder(tmp_path_factory):
    """Make a folder with all that the stage `train` reads: 85 reviews, in batches of 7 but for the last, of one."""

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
    said, _ = process.communicate()
    return said


def run(folder, command):
    process = start(folder, command)
    said = finish(process)
    assert process.returncode == 0, said
    assert not processes_in(folder)
    assert not list((folder / ".checkpoints").iterdir())
    return said


def results(folder):
    """The bytes of all that the stage wrote."""
    files = [path for place in ("models/train", "metrics", "plots") for path in (folder / place).rglob("*.*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.is_file()}


def read_to(process, beginning):
    for line in process.stdout:
        if line.startswith(beginning):
            break


def ranks_of(process):
    return [child for child in psutil.Process(process.pid).children() if "stages.train" in child.cmdline()]


def test_one_process_under_torchrun_gives_the_bytes_of_none_and_two_give_its_curves(make_folder):
    plain, one, two = (make_folder(**NO_DROPOUT, **{"train.processes": count}) for count in (1, 1, 2))
    run(plain, PLAIN)
    said = run(one, torchrun(1))
    assert results(one) == results(plain)
    assert said.count("train: epoch 1") == 1
    assert run(two, torchrun(2)).count("train: epoch 1") == 1  # only the first of them speaks
    first, second = (json.loads((folder / "metrics/train.json").read_text()) for folder in (plain, two))
    assert second == pytest.approx(first, rel=1e-4)
    weights, others = (load_file(folder / "models/train/model.safetensors") for folder in (plain, two))
    for name, values in weights.items():
        np.testing.assert_allclose(others[name], values, rtol=0, atol=1e-4)


def test_equal_weights_have_equal_figures_however_many_measure(tmp_path):
    """Also where a process has no review to learn from."""
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
                figures = task.validate()
                model.eval()
                batch = np.arange(1)
                own = batch[rank() :: world_size()]
                if len(own):
                    loss, _ = task.loss(own)
                    (loss * len(own) / len(batch)).backward()
                sum_gradients(model.parameters())
                gradient = float(sum(weights.grad.abs().sum() for weights in model.parameters()))
                if is_main_process():
                    print(world_size(), gradient, figures)
            """),
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "measure.py"]
    said = [finish(start(tmp_path, which)) for which in ([sys.executable, "measure.py"], command)]
    (one, gradient, figures), (two, same_gradient, same_figures) = (line.strip().split(" ", 2) for line in said)
    assert (one, two) == ("1", "2")
    assert figures == same_figures
    assert float(same_gradient) == pytest.approx(float(gradient), rel=1e-5)


LONG = {"train.epochs": 8, "train.patience": 8, "train.batch_size": 3}


def test_a_killed_process_is_started_again_and_changes_no_byte(make_folder):
    """Three, whose sums depend on their order."""
    whole, killed = (make_folder(**LONG, **{"train.processes": 3}) for _ in range(2))
    run(whole, PLAIN)
    process = start(killed, PLAIN)
    read_to(process, "train: epoch 2")
    ranks_of(process)[-1].kill()
    said = finish(process)
    assert process.returncode == 0, said
    assert "a process was killed; all start again" in said
    assert "Traceback" not in said
    assert results(killed) == results(whole)
    assert not processes_in(killed)


def test_the_same_command_goes_on_after_a_loss(make_folder):
    """Of a process: the survivor says in one line what to do; of torchrun, which leaves no orphan; or its restart."""
    whole, killed = (make_folder(**LONG, **{"train.processes": 2}) for _ in range(2))
    run(whole, torchrun(2))

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    place = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    first, second = (start(killed, PLAIN, place | {"RANK": rank, "LOCAL_RANK": rank}) for rank in "01")
    read_to(first, "train: epoch 2")
    second.kill()
    finish(second)
    lines = [line for line in finish(first).splitlines() if not line.startswith("train: epoch")]
    assert first.returncode == 1
    assert len(lines) == 1
    assert lines[0].startswith("error: another process of this training has ended or cannot be reached (")

    process = start(killed, torchrun(2))
    read_to(process, "train: epoch 4")
    ranks = ranks_of(process)
    assert len(ranks) == 2
    process.kill()
    finish(process)
    _, orphans = psutil.wait_procs(ranks, timeout=10)
    assert not orphans

    process = start(killed, torchrun(2, restarts=1))
    read_to(process, "train: epoch 5")
    ranks_of(process)[-1].kill()
    said = finish(process)
    assert process.returncode == 0, said
    assert results(killed) == results(whole)


def test_what_every_attempt_would_meet_again_is_not_tried_again(make_folder):
    folder = make_folder(**{"train.processes": 2, "train.lr": 1e30, "train.max_grad_norm": 1e30})
    process = start(folder, PLAIN)
    said = finish(process)
    assert process.returncode == 1
    assert "error: the loss is no longer a number" in said
    assert "start again" not in said
    assert "Traceback" not in said


def test_another_number_of_processes_than_dvc_would_write_down_is_refused(make_folder):
    process = start(make_folder(), torchrun(2))
    assert "error: train.processes: 1, but 2 processes were started; set it to 2" in finish(process)
    assert process.returncode == 1


def test_dvc_runs_several_processes(project, tmp_path):
    copy = copy_of(project, tmp_path)
    said = copy.run("dvc", "exp", "run", "--set-param", "train.processes=2", "train")
    assert "train: epoch 2" in said
    assert not processes_in(copy.path)
    assert "Data and pipelines are up to date" in copy.run("dvc", "repro", "train")
