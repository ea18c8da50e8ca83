"""DVC experiments of the last commit, each in a folder and a process of its own: what sweep and search share.

Not by `dvc queue start --jobs 2`: its workers race, and experiments fail without a log
(https://github.com/treeverse/dvc/issues/10673); what a killed one was at stays "Running". `dvc exp run --temp` isolates
as well, and its exit code and its output are ours. An experiment is finished when Git has its ref.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from dvc.lock import make_lock
from filelock import FileLock, Timeout

from src.core.errors import UserError
from src.core.files import parse_yaml
from src.core.params import check_params

TEMPORARY = Path(".dvc/tmp")
LOGS = TEMPORARY / "sweep"
LISTED = 5


class Experiment(NamedTuple):
    """A name and what it changes in params.yaml, by section.key."""

    name: str
    changes: Mapping[str, Any]

    @property
    def log(self) -> Path:
        """What its run printed last time."""
        return LOGS / f"{self.name}.log"

    @property
    def overrides(self) -> list[str]:
        """Its changes as DVC wants them: JSON is what Hydra's grammar reads with the types as they are."""
        return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in self.changes.items()]


class FinishedRun(NamedTuple):
    """A run that has ended: its experiment, the ref of that unless it failed, and the seconds it took."""

    experiment: Experiment
    ref: str | None
    seconds: float


class Experiments:
    """Those of HEAD; nothing but their settings may differ from it."""

    def __init__(self) -> None:
        self.commit = git("rev-parse", "HEAD")
        self.params = parse_yaml(show(self.commit, "params.yaml"), "params.yaml")

    def check(self, experiment: Experiment) -> None:
        """Refuse a name that Git does not take, and settings that params.yaml may not have.

        Raises:
            UserError: names the experiment and what is wrong.
        """
        name = experiment.name
        ref = ["git", "check-ref-format", f"refs/exps/{name}"]
        if "/" in name or subprocess.run(ref, check=False).returncode:
            raise UserError(
                f"{name}: Git takes no such name for an experiment; set the value in params.yaml, and commit that"
            )
        check_params(self.changed(experiment), name)

    def changed(self, experiment: Experiment) -> dict[str, Any]:
        """The content of its params.yaml."""
        params = deepcopy(self.params)
        for name, value in experiment.changes.items():
            section, _, key = name.partition(".")
            params.setdefault(section, {})[key] = value
        return params

    def ref(self, experiment: Experiment) -> str | None:
        """The ref of a finished experiment.

        Raises:
            UserError: there is one of this name with other parameters.
        """
        ref = refs_of(self.commit).get(experiment.name)
        if ref and parse_yaml(show(ref, "params.yaml"), ref) != self.changed(experiment):
            raise UserError(
                f"{experiment.name}: an experiment of this name has other parameters; dvc exp remove {experiment.name}"
            )
        return ref

    def missing(self, experiments: Sequence[Experiment]) -> list[Experiment]:
        """Those that are not finished."""
        return [experiment for experiment in experiments if self.ref(experiment) is None]

    def run(self, experiments: Sequence[Experiment], jobs: int, report: Callable[[FinishedRun], None]) -> None:
        """Run experiments side by side, and report each as it ends; an exception lets those that run come to an end.

        The first runs alone, so that the others find in DVC's run cache what all share.
        """
        stop = threading.Event()
        with ThreadPoolExecutor(jobs) as pool:
            try:
                for part in (experiments[:1], experiments[1:]):
                    for future in as_completed([pool.submit(self._run, experiment, stop) for experiment in part]):
                        report(future.result())
            finally:
                stop.set()

    def _run(self, experiment: Experiment, stop: threading.Event) -> FinishedRun:
        options = ["--temp", "--name", experiment.name, *(f"--set-param={change}" for change in experiment.overrides)]
        command = [sys.executable, "-m", "commands.child", str(os.getpid()), "--wait-for-lock", "exp", "run", *options]
        env = os.environ | {"PYTHONUNBUFFERED": "1"}  # else what DVC says stands in the log after what its stages say
        started = time.monotonic()
        if not stop.is_set():
            self.refuse_changes()
            with experiment.log.open("wb") as log:
                subprocess.run(
                    command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False
                )
        return FinishedRun(experiment, self.ref(experiment), time.monotonic() - started)

    def refuse_changes(self) -> None:
        """Refuse to start from anything but the commit.

        Raises:
            UserError: names the changed files, or says that HEAD has moved.
        """
        with make_lock(str(TEMPORARY / "lock"), wait=True):  # DVC changes params.yaml for a moment when a run starts
            changed = [line[3:] for line in git("status", "--porcelain", "--untracked-files=no").splitlines()]
            commit = git("rev-parse", "HEAD")
        if changed:
            files = ", ".join(changed[:LISTED]) + (", ..." if len(changed) > LISTED else "")
            raise UserError(
                f"{files}: changed since the last commit, and every experiment would start from that; commit, or go "
                "back by git reset --hard (a killed dvc exp run can leave its settings in params.yaml)"
            )
        if commit != self.commit:
            raise UserError("HEAD has moved since the start; the same command begins anew from there")

    @contextmanager
    def alone(self, names: Collection[str]) -> Iterator[None]:
        """Keep other sweeps and searches out, and remove what killed runs of these experiments left."""
        LOGS.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(LOGS / "lock", timeout=0):
                self.refuse_changes()
                self._clear(names)
                yield
        except Timeout:
            raise UserError("another sweep or search is at work here; wait until it has ended") from None

    def _clear(self, names: Collection[str]) -> None:
        folder = TEMPORARY / "exps"
        # DVC writes it in place: empty after a kill in that moment, it makes all later runs fail.
        with suppress(FileNotFoundError):
            if not (folder / "rwlock").read_bytes():
                (folder / "rwlock").unlink()
        # DVC never removes the folder of a killed run, and shows it as running for ever.
        for path in (folder / "run").glob("*/*.run"):
            with suppress(ValueError):  # half written, too
                run = json.loads(path.read_text(encoding="utf-8"))
                ours = run["name"] in names and run["baseline_rev"] == self.commit
                if ours and Path(run["root_dir"]).parent == (folder / "standalone").resolve():
                    shutil.rmtree(run["root_dir"], ignore_errors=True)


def refs_of(commit: str) -> dict[str, str]:
    """The experiments of a commit: their names and refs."""
    folder = f"refs/exps/{commit[:2]}/{commit[2:]}/"
    return {ref.removeprefix(folder): ref for ref in git("for-each-ref", "--format=%(refname)", folder).splitlines()}


def show(revision: str, path: str) -> str:
    """A file of a revision that Git keeps."""
    return git("show", f"{revision}:./{path}")


def git(*arguments: str) -> str:
    """Give what a git command prints.

    Raises:
        UserError: what git says.
    """
    done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise UserError(f"git {arguments[0]}: {done.stderr}")
    return done.stdout.rstrip("\n")


def read_sweep(section: str, name: str) -> dict[str, Any]:
    """Read one entry of sweeps.yaml: section.key of params.yaml, and what to try.

    Raises:
        UserError: names the entries that there are.
    """
    path = Path("sweeps.yaml")
    if not path.exists():
        raise UserError(f"{path}: no such file; run from the root of the repository")
    known = (parse_yaml(path.read_text(encoding="utf-8"), str(path)) or {}).get(section) or {}
    if name not in known:
        raise UserError(f"{name}: not in {section} of sweeps.yaml; there are {', '.join(known)}")
    return known[name]


def flat(params: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The content of params.yaml by section.key."""
    return {f"{section}.{key}": value for section, keys in params.items() for key, value in keys.items()}


def as_text(value: Any) -> str:
    """A value of params.yaml as it stands in names and tables."""
    if isinstance(value, list):
        return ",".join(map(as_text, value))
    return value if isinstance(value, str) else json.dumps(value)
