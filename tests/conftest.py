"""Small settings, and a small copy of the project in which `dvc` really runs."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright
from ruamel.yaml import YAML

from src.core.params import Params, check_params

# A busy machine is no failure.
settings.register_profile("untimed", parent=settings(), deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent
NO_EXTRA = tempfile.TemporaryDirectory()
"""An empty folder: no extra reviews, wherever a test runs prepare."""
SMALL = {
    "data.extra_path": "data/extra",
    "synthesize.reviews": 500,
    "encode.min_count": 1,
    "model.embedding_dim": 16,
    "model.hidden_size": 16,
    "model.word_pairs": 1024,
    "pretrain.epochs": 2,
    "pretrain.min_steps": 0,
    "train.epochs": 2,
    "train.min_steps": 0,
    "baseline.C": [1.0],
    "evaluate.bootstrap": 100,
    "evaluate.mistakes": 5,
}
GRIDS = """
grids:
  six: {evaluate.bins: [5, 15, 20], evaluate.bootstrap: [100, 200]}
  three: {evaluate.bins: [5, 15, 20], evaluate.bootstrap: [100]}
  broken: {data.text_column: [nope, content]}
  typing: {train.lrr: [0.1]}
  nowhere: {data.path: [/tmp/reviews.csv]}
  twice: {train.lr: [0.001, 1e-3]}
  empty: {train.lr: []}
spaces:
  few: {evaluate.bins: [5, 15, 20], evaluate.bootstrap: [100, 200]}
  wrong: {model.dropout: {low: 0.2, high: 1.5}}
  upside-down: {model.dropout: {low: 0.5, high: 0.2}}
"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, and in one those of all files that take the costly experiments."""
    for item in items:
        shared = "experiments" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("experiments" if shared else item.path.stem))


def changed_params(changes: dict[str, Any]) -> dict[str, Any]:
    """The content of params.yaml with some keys (section.key) changed."""
    raw = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    raw["data"]["extra_path"] = NO_EXTRA.name
    for name, value in changes.items():
        section, key = name.split(".")
        raw[section][key] = value
    return raw


@pytest.fixture(scope="session")
def make_params() -> Callable[..., Params]:
    """Give checked params with some keys changed: make_params({"train.lr": 0.1})."""
    return lambda changes=None: check_params(changed_params(changes or {}), "params.yaml")


class Project:
    """A copy of this project with small settings in a Git repository of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{
                f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
            },
        }

    def run(self, *command: str, ok: bool = True) -> str:
        """Run a command there and give what it printed, both streams together."""
        done = subprocess.run(
            command,
            cwd=self.path,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert (done.returncode == 0) == ok, done.stdout
        return done.stdout

    def changed_files(self) -> set[str]:
        """Files that Git sees as new or changed."""
        lines = self.run("git", "status", "--porcelain", "--untracked-files=all").splitlines()
        return {line[3:] for line in lines}


def copy_project(path: Path) -> Project:
    """Copy what Git tracks or would track, with small settings, and commit it."""
    project = Project(path)
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).exists():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, path / name)
    YAML().dump(changed_params(SMALL), path / "params.yaml")
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "small settings")
    return project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project after one `dvc repro`, its results committed."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    project.run("dvc", "repro")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "results")
    return project


@pytest.fixture(scope="session")
def experiments(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small project with experiments of another rate, of another split and of more reviews."""
    path = tmp_path_factory.mktemp("experiments") / "project"
    shutil.copytree(project.path, path, symlinks=True)
    copy = Project(path)
    copy.run("dvc", "exp", "run", "--temp", "--name", "slow", "--set-param", "train.lr=0.0001")
    copy.run("dvc", "exp", "run", "--temp", "--name", "other-split", "--set-param", "prepare.split_salt=other")
    more = [f"--set-param={change}" for change in ("synthesize.reviews=1500", "train.epochs=8", "train.lr=0.01")]
    copy.run("dvc", "exp", "run", "--temp", "--name", "more", *more)
    return copy


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium or Chrome of this machine, without a window and without a network."""
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found:
        pytest.skip("this machine has no Chromium: pages are not looked at")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=found[0], args=["--no-sandbox"])


@pytest.fixture(scope="session")
def ready(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small project with grids and spaces of its own."""
    return copy_of(project, tmp_path_factory.mktemp("ready"), GRIDS)


def copy_of(project: Project, folder: Path, sweeps: str | None = None) -> Project:
    """Copy a project with its results and its cache; sweeps: what sweeps.yaml is to hold."""
    copy = Project(folder / "project")
    shutil.copytree(project.path, copy.path, symlinks=True)
    if sweeps:
        (copy.path / "sweeps.yaml").write_text(sweeps, encoding="utf-8")
        copy.run("git", "commit", "--quiet", "--all", "--message", "sweeps")
    return copy


def experiments_of(project: Project) -> dict[str, str]:
    """The experiments of HEAD: their names and commits."""
    head = project.run("git", "rev-parse", "HEAD").strip()
    listed = ["git", "for-each-ref", "--format=%(refname:lstrip=4) %(objectname)", f"refs/exps/{head[:2]}/{head[2:]}"]
    return {name: commit for line in project.run(*listed).splitlines() for name, commit in [line.split()]}
