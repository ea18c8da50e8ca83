"""The same inputs give the same bytes, whoever runs it and wherever."""

import os
import sys

import pytest

from tests.conftest import Project, copy_project


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
