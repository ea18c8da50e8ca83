"""What is installed is what was tested, and actions are the commits that were read."""

import re

import pytest

from tests.conftest import ROOT

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def pins(name):
    """The versions that a requirements or constraints file asks for, by package."""
    found = PIN.findall((ROOT / name).read_text(encoding="utf-8"))
    return {(re.sub(r"[-_.]+", "-", package).lower(), version) for package, version in found}


def test_constraints_and_hashes_hold_the_same_versions():
    assert pins("constraints.txt") == pins("constraints-hashes.txt")


def test_every_locked_package_has_a_hash():
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / "constraints-hashes.txt").read_text(encoding="utf-8"))[1:]
    assert len(entries) > 100
    assert [entry.split("==")[0] for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("requirements*.txt")), ids=lambda path: path.name)
def test_requirements_are_pinned_to_what_is_locked(path):
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line for line in lines if line and not line.startswith("-") and "==" not in line] == []
    assert pins(path.name) <= pins("constraints.txt")


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path):
    used = re.findall(r"uses:\s*(\S+)", path.read_text(encoding="utf-8"))
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)] == []
