"""The archive for TorchServe: the same bytes each time; where TorchServe and Java are there, the stars of evaluate."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from urllib.error import URLError
from urllib.request import Request, urlopen

import pandas as pd
import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def archive(project, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "stars.mar"
    write(project, path)
    return path


def write(project, path):
    command = [sys.executable, "-m", "commands.archive", path, "--model", project.path / "models/export"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_the_same_model_makes_the_same_bytes(project, archive, tmp_path):
    write(project, tmp_path / "again.mar")
    assert (tmp_path / "again.mar").read_bytes() == archive.read_bytes()


@pytest.mark.skipif(not (shutil.which("java") and shutil.which("torchserve")), reason="TorchServe or Java is missing")
def test_torchserve_says_the_stars_of_evaluate(project, archive, tmp_path):
    texts = pd.read_parquet(project.path / "data/evaluate/predictions.parquet").head(20)
    addresses = dict(
        zip(("inference", "management", "metrics"), map("http://127.0.0.1:{}".format, free_ports(3)), strict=True)
    )
    settings = "".join(f"{name}_address={address}\n" for name, address in addresses.items())
    (tmp_path / "settings").write_text(settings + "default_workers_per_model=1\n")
    options = ["--foreground", "--ncs", "--disable-token-auth", "--ts-config", tmp_path / "settings"]
    command = ["torchserve", "--start", *options, "--model-store", archive.parent, "--models", f"stars={archive.name}"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
    try:
        found = [ask(f"{addresses['inference']}/predictions/stars", text) for text in texts.text]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    assert [rating["predicted"] for rating in found] == texts.predicted.tolist()


def free_ports(count):
    doors = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [door.getsockname()[1] for door in doors]
    for door in doors:
        door.close()
    return ports


def ask(address, text):
    """TorchServe starts its workers one after the other, for a minute on a busy machine."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with suppress(URLError), urlopen(Request(address, text.encode(), {"Content-Type": "text/plain"})) as answer:
            return json.load(answer)
        time.sleep(0.5)
    raise TimeoutError(address)
