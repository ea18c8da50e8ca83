"""The pipeline as users run it: dvc repro, dvc exp run, dvc plots, on a few hundred reviews."""

import csv
import hashlib
import json
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from safetensors.numpy import load_file

from src.core.schema import SPLITS
from tests.conftest import SMALL, Project, copy_of, copy_project


def read_json(project, name):
    return json.loads((project.path / name).read_text(encoding="utf-8"))


def test_every_review_reaches_the_predictions_or_the_rejects(project: Project):
    data = read_json(project, "metrics/data.json")
    with (project.path / "data/raw/reviews.csv").open(encoding="utf-8", newline="") as file:
        assert data["rows"]["read"] == len(list(csv.DictReader(file))) == SMALL["synthesize.reviews"]
    rejects = pd.read_csv(project.path / "data/prepare/rejects.csv")
    assert len(rejects) == sum(data["rows"][kind] for kind in ("rejected", "duplicates", "textless"))
    rows = set(rejects.row)
    for split in SPLITS:
        prepared = pd.read_parquet(project.path / f"data/prepare/{split}.parquet")
        cleaned = pd.read_parquet(project.path / f"data/clean/{split}.parquet")
        labels = np.load(project.path / f"data/encode/{split}/labels.npy")
        assert prepared.row.tolist() == cleaned.row.tolist()
        assert prepared.rating.tolist() == cleaned.rating.tolist() == (labels + 1).tolist()
        assert len(prepared) == data["splits"][split]
        assert not rows & set(prepared.row)
        rows |= set(prepared.row)
    assert rows == set(range(1, SMALL["synthesize.reviews"] + 1))
    predictions = pd.read_parquet(project.path / "data/evaluate/predictions.parquet")
    assert predictions.row.tolist() == prepared.row.tolist()
    assert predictions.text.tolist() == prepared.text.tolist()
    np.testing.assert_allclose(predictions[[f"p{star}" for star in range(1, 6)]].sum(axis=1), 1)


def test_training_starts_from_the_pretrained_embedding(project: Project):
    before = load_file(project.path / "models/pretrain/model.safetensors")["embedding.weight"]
    after = load_file(project.path / "models/train/model.safetensors")["embedding.weight"]
    cosines = (before * after).sum(axis=1)[2:] / np.linalg.norm(before[2:], axis=1) / np.linalg.norm(after[2:], axis=1)
    assert 0.5 < cosines.mean() < 0.9999


def test_the_metrics_match_the_predictions(project: Project):
    predictions = pd.read_parquet(project.path / "data/evaluate/predictions.parquet")
    metrics = read_json(project, "metrics/test.json")
    assert metrics["accuracy"] == pytest.approx((predictions.predicted == predictions.rating).mean(), abs=1e-4)
    probabilities = predictions.to_numpy()[
        np.arange(len(predictions)), predictions.columns.get_indexer(["p1"])[0] + predictions.rating - 1
    ]
    assert metrics["log_loss"] == pytest.approx(-np.log(probabilities.astype(float)).mean(), abs=1e-4)
    scores = pd.read_csv(project.path / "plots/evaluate/scores.csv")
    assert set(scores["predictor"]) == {"model", "majority", "tfidf", "tfidf_balanced", "bayes_optimal"}
    assert (scores.low <= scores.high).all()
    confusion = pd.read_csv(project.path / "plots/evaluate/confusion.csv")
    assert confusion.reviews.sum() == len(predictions)
    mistakes = pd.read_csv(project.path / "data/evaluate/mistakes.csv")
    assert len(mistakes) == SMALL["evaluate.mistakes"]
    assert (mistakes.rating != mistakes.predicted).all()


def test_the_curves_and_the_best_epoch_agree(project: Project):
    curves = pd.read_csv(project.path / "plots/train/metrics/valid/loss.tsv", sep="\t")
    best = read_json(project, "metrics/train.json")
    assert curves.step.tolist() == list(range(1, SMALL["train.epochs"] + 1))
    assert best["valid_loss"] == curves.loss.min()
    assert best["best_epoch"] == curves.step[curves.loss.idxmin()]
    assert load_file(project.path / "models/train/model.safetensors")["output.bias"].shape == (5,)


def test_a_second_run_has_nothing_to_do(project: Project):
    assert "Data and pipelines are up to date." in project.run("dvc", "repro")
    assert project.changed_files() == set()


def test_an_experiment_in_its_own_folder_can_be_compared(experiments: Project, tmp_path):
    project = experiments
    assert project.changed_files() == set()
    shown = json.loads(project.run("dvc", "metrics", "diff", "HEAD", "slow", "--json"))
    assert shown["metrics/test.json"]["log_loss"]["new"] != shown["metrics/test.json"]["log_loss"]["old"]
    assert "metrics/data.json" not in shown
    params = json.loads(project.run("dvc", "params", "diff", "HEAD", "slow", "--json"))["params.yaml"]
    assert {name: change["new"] for name, change in params.items()} == {"train.lr": 0.0001}
    table = project.run("dvc", "exp", "show", "--csv", "--only-changed")
    assert "slow" in table
    page = project.run("dvc", "plots", "diff", "HEAD", "slow", "--out", str(tmp_path / "drawn")).strip()
    html = (tmp_path / "drawn/index.html").read_text(encoding="utf-8")
    assert page.endswith("drawn/index.html")
    for title in ("Loss", "Confusion", "Reliability", "F1 by star", "Scores"):
        assert title in html, title


class Server(BaseHTTPRequestHandler):
    """Serves one file with the ETag that shows DVC whether it has changed."""

    def __init__(self, body, *rest):
        self.body = body
        super().__init__(*rest)

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(self.body).hexdigest()}"')
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


def test_a_url_is_a_dependency(project: Project, tmp_path):
    body = (project.path / "data/raw/reviews.csv").read_bytes().replace(b"score", b"stars", 1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, body))
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/reviews.csv"
    other = copy_project(tmp_path)
    params = YAML(typ="safe").load(other.path / "params.yaml")
    params["data"] |= {"path": url, "rating_column": "stars"}
    YAML().dump(params, other.path / "params.yaml")
    try:
        other.run("dvc", "repro", "--single-item", "prepare")
        lock = YAML(typ="safe").load(other.path / "dvc.lock")
        assert url in [dependency["path"] for dependency in lock["stages"]["prepare"]["deps"]]
        assert "up to date" in other.run("dvc", "repro", "--single-item", "prepare")
    finally:
        server.shutdown()
    expected = pd.read_parquet(project.path / "data/prepare/test.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(other.path / "data/prepare/test.parquet"), expected)


def test_unrated_reviews_and_word_vectors_are_used_but_never_a_test_text(project: Project, tmp_path):
    project = copy_of(project, tmp_path)
    test_texts = pd.read_parquet(project.path / "data/prepare/test.parquet").text
    lines = [{"content": text} for text in [*test_texts, "no stars here but words", "No stars here but words"]]
    (project.path / "data/extra/more.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    vectors = [f"{word} " + " ".join(["0.5"] * 16) for word in ("app", "qqq")]
    (project.path / "data/vectors/glove.txt").write_text("\n".join(vectors), encoding="utf-8")
    printed = project.run("dvc", "repro", "pretrain")
    metrics = read_json(project, "metrics/pretrain.json")["pretrain"]
    extra = read_json(project, "metrics/data.json")["extra"]
    assert (extra["read"], extra["used"]) == (len(test_texts) + 2, 1)
    assert set(extra["reasons"]) == {"text is already in the test split", "duplicate of an earlier row"}
    assert f"prepare: extra reviews: {len(test_texts) + 2} rows: 1 used" in printed
    rejects = pd.read_csv(project.path / "data/prepare/extra_rejects.csv")
    assert len(rejects) == len(test_texts) + 1
    assert pd.read_parquet(project.path / "data/clean/transfer.parquet").text.tolist() == ["no star but word"]
    assert 0 < metrics["vectors"]["vocabulary"] < metrics["vectors"]["words"] < 0.2
    assert "vectors for " in printed


def test_pretraining_can_be_switched_off(project: Project, tmp_path):
    project = copy_of(project, tmp_path)
    project.run("dvc", "exp", "run", "-S", "pretrain.epochs=0", "train")
    assert load_file(project.path / "models/pretrain/model.safetensors") == {}
    metrics = read_json(project, "metrics/pretrain.json")
    assert metrics == {"pretrain": {"vectors": {"vocabulary": 0, "words": 0}}}
    assert "failed" not in project.run("dvc", "plots", "show")


def test_a_difficult_table_is_processed_up_to_the_model(tmp_path):
    """UTF-16, bare carriage returns, a NUL, 100,000 words, only stop words, and one review a thousand times."""
    project = copy_project(tmp_path / "project")
    words = "good bad fine awful love crash slow nice sync great update login".split()
    choose = np.random.default_rng(1).choice
    rows = [["the same review", 5]] * 1000 + [[" ".join(choose(words, 6)), 1 + i % 5] for i in range(300)]
    rows += [[" ".join(choose(words, 100_000)), 3], ["good\0bad", 2], ["the of and", 1], ["\U0001f600 İstanbul ﬁne", 4]]
    with (tmp_path / "difficult.csv").open("w", encoding="utf-16", newline="") as file:
        csv.writer(file, lineterminator="\r").writerows([["content", "score"], *rows])
    params = YAML(typ="safe", pure=True).load(project.path / "params.yaml")
    params["data"]["path"] = str(tmp_path / "difficult.csv")
    params["data"]["max_text"] = 1_000_000
    params["train"]["batch_size"] = 1024  # more than there are reviews
    YAML().dump(params, project.path / "params.yaml")
    project.run("dvc", "repro")
    data = read_json(project, "metrics/data.json")
    assert data["rows"] == {
        "read": 1304,
        "used": 305,
        "duplicates": 999,
        "rejected": 0,
        "textless": 0,
        "label_conflicts": 0,
    }
    assert data["words"]["max"] == 100_000
    assert len(pd.read_parquet(project.path / "data/evaluate/predictions.parquet")) == data["splits"]["test"]


def test_an_error_in_params_is_one_line_and_writes_nothing(tmp_path):
    project = copy_project(tmp_path)
    params = YAML(typ="safe").load(project.path / "params.yaml")
    params["synthesize"]["review"] = 5
    YAML().dump(params, project.path / "params.yaml")
    printed = project.run("python", "-m", "stages.synthesize", ok=False)
    assert printed == "error: params.yaml: synthesize.review: unknown key; did you mean reviews?\n"
    assert [path.name for path in sorted((project.path / "data").iterdir())] == ["extra", "vectors"]
