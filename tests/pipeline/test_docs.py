"""The README and the tutorial, carried out as they stand; every link in the documents leads somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Project, copy_of

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
NOT_RUN = {"make test"}
"""Commands that would run this test again."""
SERVER = "python -m commands.serve &"
GRIDS = "grids: {resampling: {resample.strategy: [none, both]}, seeds: {base.seed: [1, 2]}}"
"""The grids of sweeps.yaml that are named, with fewer values."""


def commands_of(page: Path) -> list[str]:
    """The commands in a page: lines of console blocks that begin with $, with the lines that continue them."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", "").splitlines()
    commands = [re.sub(r"\s+# .*", "", line[2:]) for line in lines if line.startswith("$ ")]
    return [command for command in commands if command not in NOT_RUN]


@pytest.fixture
def reader(project: Project, tmp_path: Path) -> Project:
    """A copy of the small project as a reader has it after `make`, with a table of their own."""
    reader = copy_of(project, tmp_path, GRIDS)
    (reader.path / ".venv").mkdir()
    for part in ("bin", "lib", "pyvenv.cfg"):
        (reader.path / ".venv" / part).symlink_to(Path(sys.prefix) / part)
    (reader.path / ".venv/installed").touch()
    raw = (reader.path / "data/raw/reviews.csv").read_text(encoding="utf-8")
    header, _, rest = raw.partition("\n")
    mine = f"{header.replace('content', 'review').replace('score', 'stars')}\n{rest}"
    (reader.path / "data/mine.csv").write_text(mine, encoding="utf-8")
    return reader


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_every_command_works(reader: Project, page: str) -> None:
    commands = commands_of(ROOT / page)
    assert SERVER in commands
    assert len(commands) > 10
    script = "\n".join(["set -e", "trap 'kill $server 2> /dev/null' EXIT", *commands])
    script = script.replace(SERVER, f"{SERVER} server=$!")
    done = subprocess.run(
        ["bash", "-x", "-c", script],
        cwd=reader.path,
        env=reader.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert '"reviews":[{"predicted":' in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for target in targets:
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1000
