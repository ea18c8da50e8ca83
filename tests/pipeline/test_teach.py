"""A pipeline with a teacher: what it learns from, what it writes, and that kills do not change a byte."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from src.core.schema import PROBABILITIES, letters_and_digits, normalised_text
from tests.conftest import Project, copy_project
from tests.learning.tiny_transformer import write_transformer

pytest.importorskip("transformers", reason="pip install -r requirements-teach.txt")

KILLS = 2 * int(os.environ.get("REVIEWS_KILLS", "5"))
EXTRA = ["An extra review, without stars", "another one!!!", "AN EXTRA review,  without STARS"]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project with a tiny transformer as its teacher and extra reviews, after one `dvc repro`."""
    project = copy_project(tmp_path_factory.mktemp("taught"))
    model = write_transformer(tmp_path_factory.mktemp("model"))
    params = YAML(typ="safe").load(project.path / "params.yaml")
    params["teach"] |= {"model": str(model), "epochs": 3, "batch_size": 8, "checkpoint_steps": 10, "variations": 5}
    YAML().dump(params, project.path / "params.yaml")
    test_text = "never seen"
    lines = "".join(json.dumps({"content": text}) + "\n" for text in [*EXTRA, test_text])
    (project.path / "data/extra/more.jsonl").write_text(lines, encoding="utf-8")
    project.run("dvc", "repro")
    return project


def keys(texts):
    return {letters_and_digits(normalised_text(text)) for text in texts}


def test_the_transfer_set_is_extra_reviews_and_variations_but_no_held_out_text(taught: Project):
    transfer = pd.read_parquet(taught.path / "data/teach/transfer.parquet")
    train, valid, test = (pd.read_parquet(taught.path / f"data/prepare/{name}.parquet").text for name in SPLITS)
    assert transfer.text[~transfer.variation].tolist() == [EXTRA[0], EXTRA[1], "never seen"]
    varied = transfer.text[transfer.variation]
    assert 3 * len(train) < len(varied) <= 5 * len(train)
    assert not keys(varied) & keys([*valid, *test])
    words = {word for text in train for word in text.split()}
    assert {word for text in varied for word in text.split()} <= words
    counts = json.loads((taught.path / "metrics/teach.json").read_text())["teach"]["transfer"]
    assert counts == {"extra": 3, "variations": len(varied)}
    probabilities = transfer[list(PROBABILITIES)].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    taught_train = np.load(taught.path / "data/teach/train.npy", allow_pickle=False)
    assert taught_train.shape == (len(train), 5)


SPLITS = ("train", "valid", "test")


def test_the_teacher_is_scored_beside_the_model(taught: Project):
    scores = pd.read_csv(taught.path / "plots/evaluate/scores.csv")
    assert {"model", "teacher", "tfidf"} <= set(scores.predictor)


def test_the_model_learns_from_the_teacher(taught: Project, tmp_path):
    """With all weight on a teacher, the predictions of the model are near to its own."""
    predictions = pd.read_parquet(taught.path / "data/evaluate/predictions.parquet")
    teacher = pd.read_parquet(taught.path / "data/teach/teacher.parquet")
    distance = np.abs(predictions[list(PROBABILITIES)].to_numpy() - teacher.to_numpy()).sum(axis=1).mean()
    assert distance < 0.6


def test_extra_words_are_known_and_variations_add_none(taught: Project):
    vocabulary = set((taught.path / "data/encode/vocabulary.txt").read_text(encoding="utf-8").split("\n"))
    cleaned = pd.read_parquet(taught.path / "data/clean/train.parquet").text
    assert vocabulary <= {word for text in cleaned for word in text.split()} | {""}


def teach_again(project: Project) -> str:
    """Forget what teach wrote, and start it alone."""
    for name in ("data/teach", "metrics/teach.json", "plots/teach", ".checkpoints"):
        path = project.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return project.run("python", "-m", "stages.teach")


def contents(project: Project) -> dict[str, bytes]:
    names = ("data/teach", "plots/teach")
    files = [path for name in names for path in sorted((project.path / name).rglob("*")) if path.is_file()]
    return {str(path.relative_to(project.path)): path.read_bytes() for path in files}


def test_teach_writes_the_same_bytes_again_and_after_kills(taught: Project, tmp_path):
    expected = contents(taught)
    started = time.monotonic()
    teach_again(taught)
    whole = time.monotonic() - started
    assert contents(taught) == expected
    shutil.rmtree(taught.path / "data/teach")
    for seed in range(KILLS):
        process = subprocess.Popen(["python", "-m", "stages.teach"], cwd=taught.path, env=taught.env)
        try:
            process.wait(timeout=random.Random(seed).uniform(0.3 * whole, whole))
            shutil.rmtree(taught.path / "data/teach")
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    taught.run("python", "-m", "stages.teach")
    assert contents(taught) == expected
    assert not list((taught.path / ".checkpoints").glob("*"))


def test_a_teacher_of_another_script_is_refused(taught: Project, tmp_path):
    params = YAML(typ="safe").load(taught.path / "params.yaml")
    other = write_transformer(tmp_path / "cyrillic", "абвгд")
    params["teach"]["model"] = str(other)
    before = (taught.path / "params.yaml").read_bytes()
    YAML().dump(params, taught.path / "params.yaml")
    printed = taught.run("python", "-m", "stages.teach", ok=False)
    (taught.path / "params.yaml").write_bytes(before)
    assert "of the train split; choose a model that was trained on texts in this language" in printed
    assert "Traceback" not in printed
