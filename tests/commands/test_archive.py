"""The TorchServe archive: the same bytes each time, and evaluate's predictions if TorchServe and Java are installed."""

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
def test_torchserve_predicts_the_same_as_evaluate(project, archive, tmp_path):
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
        predictions = [ask(f"{addresses['inference']}/predictions/stars", text) for text in texts.text]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    assert [prediction["predicted"] for prediction in predictions] == texts.predicted.tolist()


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def ask(address, text):
    """Retry while TorchServe starts its workers, which takes up to a minute on a busy machine."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(URLError), urlopen(Request(address, text.encode(), {"Content-Type": "text/plain"})) as response:
            return json.load(response)
        time.sleep(0.5)
    raise TimeoutError(address)
