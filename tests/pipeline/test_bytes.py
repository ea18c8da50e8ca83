"""The same inputs give the same bytes, whoever runs it and wherever."""

import os
import platform
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Project, copy_project

CPU = Path("/proc/cpuinfo")
PROMISED = sys.platform == "linux" and platform.machine() == "x86_64" and "avx2" in CPU.read_text(encoding="utf-8")


@pytest.mark.skipif(not PROMISED, reason="equal bytes are promised on Linux, on an x86-64 CPU with AVX2")
def test_this_machine_makes_the_committed_lock(tmp_path):
    clone = copy_project(tmp_path)
    shutil.copy(ROOT / "params.yaml", clone.path)
    clone.run("dvc", "repro", "--force")
    assert (clone.path / "dvc.lock").read_bytes() == (ROOT / "dvc.lock").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="umask and time zones are those of POSIX")
def test_another_user_another_place_the_same_lock(project: Project, tmp_path):
    other = copy_project(tmp_path / "another folder ä")
    other.env |= {
        "TZ": "Pacific/Auckland",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "7",
        "USER": "other",
    }
    (other.path / "dvc.lock").unlink(missing_ok=True)
    before, cores = os.umask(0o077), os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    try:
        if cores:
            os.sched_setaffinity(0, {min(cores)})
        other.run("dvc", "repro")
    finally:
        os.umask(before)
        if cores:
            os.sched_setaffinity(0, cores)
    assert (other.path / "dvc.lock").read_bytes() == (project.path / "dvc.lock").read_bytes()
