"""Run DVC experiments of the last commit, each in its own clone of the repository. Used by sweep and search.

Parallel runs in one repository disturb each other: workers of `dvc queue start --jobs 2` race and fail without a log
(https://github.com/treeverse/dvc/issues/10673), runs of `dvc exp run --temp` share DVC's stash, and Git worktrees share
refs/exps. Clones share only DVC's cache and the checkpoints. An experiment is finished when its Git ref has been
fetched into the main repository.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from src.core.errors import UserError
from src.core.files import parse_yaml
from src.core.params import check_params

LOGS = Path(".dvc/tmp/sweep")
CLONES = LOGS / "clones"
MAX_LISTED = 5
DVC = (sys.executable, "-m", "dvc")


class Experiment(NamedTuple):
    """The name of an experiment and the parameters it changes, as section.key -> value."""

    name: str
    changes: Mapping[str, Any]

    @property
    def log(self) -> Path:
        """The file with the output of its last run."""
        return LOGS / f"{self.name}.log"

    @property
    def overrides(self) -> list[str]:
        """The changes as values of --set-param, in JSON: Hydra's grammar then keeps their types."""
        return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in self.changes.items()]


class RunResult(NamedTuple):
    """The result of a run: the Git ref of its experiment (None if it failed) and its duration."""

    experiment: Experiment
    ref: str | None
    seconds: float


class Experiments:
    """The experiments of HEAD; they differ from it only in their parameters."""

    def __init__(self) -> None:
        self.commit = git("rev-parse", "HEAD")
        self.params = parse_yaml(show(self.commit, "params.yaml"), "params.yaml")

    def check(self, experiment: Experiment) -> None:
        """Check the name and the parameters of an experiment.

        Raises:
            UserError: Git does not accept the name, or params.yaml does not accept a parameter.
        """
        name = experiment.name
        if "/" in name or subprocess.run(["git", "check-ref-format", f"refs/exps/{name}"], check=False).returncode:
            raise UserError(
                f"{name}: Git does not accept this experiment name; set the value in params.yaml and commit it"
            )
        check_params(self.params_of(experiment), name)

    def params_of(self, experiment: Experiment) -> dict[str, Any]:
        """Return the content of the experiment's params.yaml."""
        params = deepcopy(self.params)
        for name, value in experiment.changes.items():
            section, _, key = name.partition(".")
            params.setdefault(section, {})[key] = value
        return params

    def ref(self, experiment: Experiment) -> str | None:
        """Return the ref of an experiment, or None if it is not finished.

        Raises:
            UserError: an experiment of this name has other parameters.
        """
        ref = refs_of(self.commit).get(experiment.name)
        if ref and parse_yaml(show(ref, "params.yaml"), ref) != self.params_of(experiment):
            raise UserError(
                f"{experiment.name}: an experiment with this name but other parameters exists; remove it with "
                f"dvc exp remove {experiment.name}"
            )
        return ref

    def unfinished(self, experiments: Sequence[Experiment]) -> list[Experiment]:
        """Return the experiments that are not finished."""
        return [experiment for experiment in experiments if self.ref(experiment) is None]

    def run(self, experiments: Sequence[Experiment], jobs: int, report: Callable[[RunResult], None]) -> None:
        """Run experiments in parallel and report each one as it ends.

        The first one runs alone, so that the others find the stages they share in DVC's run cache. After an exception
        no new experiment starts, and the running ones are awaited.
        """
        stop = threading.Event()
        with ThreadPoolExecutor(jobs) as pool:
            try:
                for part in (experiments[:1], experiments[1:]):
                    for future in as_completed([pool.submit(self._run, experiment, stop) for experiment in part]):
                        report(future.result())
            finally:
                stop.set()

    def _run(self, experiment: Experiment, stop: threading.Event) -> RunResult:
        options = ["--name", experiment.name, *(f"--set-param={change}" for change in experiment.overrides)]
        command = [sys.executable, "-m", "commands.child", str(os.getpid()), "exp", "run", *options]
        env = os.environ | {"PYTHONUNBUFFERED": "1"}  # keeps DVC's and the stages' lines in order in the log
        started = time.monotonic()
        if not stop.is_set():
            with TemporaryDirectory(dir=CLONES, ignore_cleanup_errors=True) as folder, experiment.log.open("wb") as log:
                project = self._clone(Path(folder))
                done = subprocess.run(
                    command, cwd=project, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
                )
                if done.returncode == 0:
                    ref = ref_folder(self.commit) + experiment.name
                    git("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", folder, f"{ref}:{ref}")
        return RunResult(experiment, self.ref(experiment), time.monotonic() - started)

    def _clone(self, folder: Path) -> Path:
        """Clone the commit, sharing the local settings, the cache and the checkpoints; return the project's root."""
        root = Path(git("rev-parse", "--show-toplevel"))
        project = folder / Path.cwd().relative_to(root)
        git("clone", "--quiet", "--shared", "--no-checkout", str(root), str(folder))
        git("-C", str(folder), "checkout", "--quiet", "--detach", self.commit)
        for config, copy in (root / ".git/config", folder / ".git"), (Path(".dvc/config.local"), project / ".dvc"):
            if config.exists():
                shutil.copy(config, copy)
        output_of(*DVC, "config", "--local", "cache.dir", self._cache, folder=project)
        checkpoints = Path(".checkpoints").resolve()
        checkpoints.mkdir(exist_ok=True)
        (project / ".checkpoints").symlink_to(checkpoints)
        return project

    @cached_property
    def _cache(self) -> str:
        return output_of(*DVC, "cache", "dir")

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock for one sweep or search at a time, and refuse uncommitted changes.

        Raises:
            UserError: another one is running, or tracked files have changed since the commit.
        """
        CLONES.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(LOGS / "lock", timeout=0):
                refuse_changes()
                for left_by_a_killed_sweep in CLONES.iterdir():
                    shutil.rmtree(left_by_a_killed_sweep, ignore_errors=True)
                yield
        except Timeout:
            raise UserError("another sweep or search is running in this repository; wait until it ends") from None


def refuse_changes() -> None:
    """Refuse uncommitted changes, because the clones would not contain them.

    Raises:
        UserError: names the changed files.
    """
    changed = [line[3:] for line in git("status", "--porcelain", "--untracked-files=no").splitlines()]
    if changed:
        files = ", ".join(changed[:MAX_LISTED]) + (", ..." if len(changed) > MAX_LISTED else "")
        raise UserError(
            f"{files}: changed since the last commit, from which all experiments start; commit the changes, or discard "
            "them with git reset --hard (a killed dvc exp run can leave its settings in params.yaml)"
        )


def ref_folder(commit: str) -> str:
    """Return the prefix of the refs of a commit's experiments."""
    return f"refs/exps/{commit[:2]}/{commit[2:]}/"


def refs_of(commit: str) -> dict[str, str]:
    """Return the finished experiments of a commit: name -> Git ref."""
    folder = ref_folder(commit)
    return {ref.removeprefix(folder): ref for ref in git("for-each-ref", "--format=%(refname)", folder).splitlines()}


def show(revision: str, path: str) -> str:
    """Return the content of a file that Git tracks, as of a revision."""
    return git("show", f"{revision}:./{path}")


def git(*arguments: str) -> str:
    """Return the output of a Git command; see output_of."""
    return output_of("git", *arguments)


def output_of(*command: str, folder: Path | None = None) -> str:
    """Return the standard output of a command.

    Raises:
        UserError: the command failed; the message contains its error output.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise UserError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout.rstrip("\n")


def read_sweep(section: str, name: str) -> dict[str, Any]:
    """Read one grid or space of sweeps.yaml: section.key -> values.

    Raises:
        UserError: sweeps.yaml or the entry does not exist.
    """
    path = Path("sweeps.yaml")
    if not path.exists():
        raise UserError(f"{path}: no such file; run this from the root of the repository")
    known = (parse_yaml(path.read_text(encoding="utf-8"), str(path)) or {}).get(section) or {}
    if name not in known:
        raise UserError(f"sweeps.yaml: {section} has no {name}; choose one of {', '.join(known)}")
    return known[name]


def flatten(params: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the content of params.yaml as section.key -> value."""
    return {f"{section}.{key}": value for section, keys in params.items() for key, value in keys.items()}


def as_text(value: Any) -> str:
    """Format a value of params.yaml for names and tables."""
    if isinstance(value, list):
        return ",".join(map(as_text, value))
    return value if isinstance(value, str) else json.dumps(value)
