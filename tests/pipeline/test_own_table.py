"""A table of one's own under DVC, as docs/how-to advises: tracked, pushed, pulled in a clone, found by experiments."""

import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import Project, changed_params, copy_project, experiments_of

GRIDS = "grids: {salts: {prepare.split_salt: [one, two]}}\n"
MINE = {"data.path": "data/mine.csv", "data.text_column": "review", "data.rating_column": "stars"}
TABLE = "review,stars\n" + "".join(f"review number {i} of my own app,{1 + i % 5}\n" for i in range(300))


def changes(values: dict[str, str]) -> list[str]:
    return [f"--set-param={key}={value}" for key, value in values.items()]


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of prepare alone, with a table that was added and pushed as the how-to pages say."""
    project = copy_project(tmp_path_factory.mktemp("owner") / "project")
    whole = YAML(typ="safe").load(project.path / "dvc.yaml")
    # The other stages never see the table, and take minutes.
    few = {"stages": {name: whole["stages"][name] for name in ("synthesize", "prepare")}}
    YAML().dump(few, project.path / "dvc.yaml")
    (project.path / "sweeps.yaml").write_text(GRIDS, encoding="utf-8")
    (project.path / "data/mine.csv").write_text(TABLE, encoding="utf-8")
    project.run("dvc", "add", "data/mine.csv")
    project.run("git", "add", "data/mine.csv.dvc", "data/.gitignore")
    project.run("git", "commit", "--quiet", "--all", "--message", "Add my reviews")
    project.run("dvc", "remote", "add", "--default", "storage", str(project.path.parent / "remote"))
    project.run("git", "add", ".dvc/config")
    project.run("git", "commit", "--quiet", "--message", "Add a remote")
    project.run("dvc", "push", "data/mine.csv")
    return project


@pytest.fixture(scope="module")
def clone(owner: Project) -> Project:
    """A clone of the project, as on another machine: without the table and its cache."""
    clone = Project(owner.path.parent / "clone")
    owner.run("git", "clone", "--quiet", str(owner.path), str(clone.path))
    return clone


def test_git_tracks_the_pointer_and_not_the_table(owner: Project) -> None:
    assert "data/mine.csv.dvc" in owner.run("git", "ls-files").splitlines()
    assert owner.run("git", "check-ignore", "data/mine.csv").strip() == "data/mine.csv"
    assert owner.changed_files() == set()


def test_another_machine_gets_the_table_and_gets_it_back(clone: Project) -> None:
    table = clone.path / "data/mine.csv"
    assert not table.exists()
    clone.run("dvc", "pull", "data/mine.csv")
    assert table.read_text(encoding="utf-8") == TABLE
    table.unlink()
    clone.run("dvc", "checkout", "data/mine.csv.dvc")
    assert table.read_text(encoding="utf-8") == TABLE
    assert clone.changed_files() == set()


def test_an_experiment_reads_it(clone: Project) -> None:
    clone.run("dvc", "pull", "data/mine.csv")
    output = clone.run("dvc", "exp", "run", "--name", "mine", *changes(MINE), "prepare")
    assert "prepare: 300 rows: 300 used, 0 rejected, 0 duplicates" in output
    commit = experiments_of(clone)["mine"]
    lock = YAML(typ="safe").load(clone.run("git", "show", f"{commit}:dvc.lock"))
    assert "data/mine.csv" in [dependency["path"] for dependency in lock["stages"]["prepare"]["deps"]]


def test_the_clones_of_a_sweep_find_it(owner: Project) -> None:
    YAML().dump(changed_params(MINE), owner.path / "params.yaml")
    owner.run("git", "commit", "--quiet", "--all", "--message", "My reviews are the table")
    output = owner.run(sys.executable, "-m", "commands.sweep", "salts")
    assert "2 of 2 experiments are finished" in output
    metrics = {owner.run("git", "show", f"{ref}:metrics/data.json") for ref in experiments_of(owner).values()}
    assert len(metrics) == 2
    assert all('"read": 300' in text for text in metrics)
    assert owner.changed_files() == set()


def test_a_table_outside_the_project_needs_its_whole_path(owner: Project, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(TABLE, encoding="utf-8")
    absolute = MINE | {"data.path": str(tmp_path / "mine.csv")}
    assert "300 used" in owner.run("dvc", "exp", "run", "--temp", *changes(absolute), "prepare")
