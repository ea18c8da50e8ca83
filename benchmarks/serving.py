"""Measure the service: start-up, memory, requests a second and how long each takes; write a Markdown table.

Beside it the same model and the same app with other engines, and how often these say the same stars. wrk (a package of
Debian) makes the load on the same machine, from the test reviews, one a request.

dvc repro evaluate export; taskset -c 0,1 python -m benchmarks.serving --seconds 20
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import numpy as np
import psutil
import pyarrow.parquet as pq

from commands.serve import main as serve
from src.serving.predictor import DESCRIPTION, EXPORTED_MODEL, NETWORK, Predictor, md5
from src.text.encoded import EncodedReviews

CLIENTS = (1, 16, 64)
LOAD = """
local bodies, i = {}, 0
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
local headers = { ["Content-Type"] = "application/json" }
request = function()
  i = i % #bodies + 1
  return wrk.format("POST", "/predict", headers, bodies[i])
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("FOUND %d %f %f %f %d\\n", summary.requests, summary.requests * 1e6 / summary.duration,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class Load(NamedTuple):
    """What wrk found: requests, requests a second, the median and the 99 % quantile in ms, requests that failed."""

    requests: int
    speed: float
    median: float
    slow: float
    failed: int


def main() -> None:
    engines: dict[str, Callable[[], None]] = {
        "ONNX Runtime": serve,
        "ONNX Runtime, int8": int8,
        "eager PyTorch": eager,
        "eager PyTorch, bfloat16": partial(eager, bfloat16=True),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20, help="of each load; default: 20")
    parser.add_argument("--engine", choices=engines, help="be this service, and measure nothing")
    given, others = parser.parse_known_args()
    if given.engine:
        sys.argv = ["serve", *others]
        engines[given.engine]()
        return
    if not shutil.which("wrk"):
        sys.exit("serving: not measured, for wrk is not installed (apt-get install wrk)")
    texts = pq.read_table("data/evaluate/predictions.parquet").column("text").to_pylist()
    print(
        "| engine | ready, s | memory, MB | clients | requests/s | median, ms | 99 %, ms | requests | failed | same"
        " stars |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    stars: list[int] = []
    for engine in engines:
        with tempfile.TemporaryDirectory() as folder, started(engine) as (address, process, ready):
            found = stars_of(address, texts)
            stars = stars or found
            same = np.mean(np.array(found) == stars)
            for clients in CLIENTS:
                load = measure(address, clients, given.seconds, Path(folder), texts)
                memory = process.memory_info().rss / 1e6
                print(
                    f"| {engine} | {ready:.1f} | {memory:.0f} | {clients} | {load.speed:,.0f} | {load.median:.1f} |"
                    f" {load.slow:.1f} | {load.requests:,} | {load.failed} | {100 * same:.2f} % |",
                    flush=True,
                )


@contextmanager
def started(engine: str) -> Iterator[tuple[str, psutil.Process, float]]:
    """A service with an engine: where it is, its process, and the seconds until it was ready."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.serving", "--engine", engine, "--port", "0"]
    if engine == "ONNX Runtime":
        command = [sys.executable, "-m", "commands.serve", "--port", "0"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
        try:
            address = process.stdout.readline().split()[-1]
            with urlopen(f"{address}/readyz"):
                ready = time.perf_counter() - start
            yield address, psutil.Process(process.pid), ready
        finally:
            process.terminate()


def stars_of(address: str, texts: list[str]) -> list[int]:
    """What a service says of some texts."""
    stars = []
    for start in range(0, len(texts), 250):
        body = json.dumps({"reviews": texts[start : start + 250]}).encode()
        with urlopen(Request(f"{address}/predict", body)) as answer:
            stars += [each["predicted"] for each in json.load(answer)["reviews"]]
    return stars


def measure(address: str, clients: int, seconds: int, folder: Path, texts: list[str]) -> Load:
    """Let some clients ask, each as soon as it has its answer."""
    (folder / "load.lua").write_text(LOAD, encoding="utf-8")
    (folder / "bodies").write_text("\n".join(json.dumps({"reviews": text}) for text in texts), encoding="utf-8")
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(folder / "load.lua"), address]
    done = subprocess.run(
        command, env={"BODIES": str(folder / "bodies")}, text=True, stdout=subprocess.PIPE, check=True
    )
    (found,) = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("FOUND")]
    return Load(int(found[0]), *map(float, found[1:4]), int(found[4]))


def int8() -> None:
    """Serve with weights of eight bits."""
    from onnxruntime.quantization import quantize_dynamic

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "export"
        shutil.copytree(EXPORTED_MODEL, folder)
        quantize_dynamic(EXPORTED_MODEL / NETWORK, folder / NETWORK)
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        description["files"][NETWORK] = md5(folder / NETWORK)
        (folder / DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
        sys.argv += ["--model", str(folder)]
        serve()


def eager(bfloat16: bool = False) -> None:
    """Serve the weights of models/train by PyTorch, as it stands or multiplying in 16 bits."""
    import torch
    from safetensors.torch import load_file

    import commands.serve
    from src.core.files import read_json
    from src.core.params import Model
    from src.learning.classification import predict
    from src.learning.model import ReviewModel

    torch.set_num_threads(1)
    description = read_json(Path("models/train/model.json"))
    shift = np.array(read_json(Path("data/resample/log_prior_shift.json")))
    model = ReviewModel(Model(**description["model"]), description["words"], len(shift))
    model.load_state_dict(load_file("models/train/model.safetensors"))

    class Eager(Predictor):
        def predict_encoded(self, reviews: EncodedReviews, batch_size: int = 0) -> np.ndarray:
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                return predict(model, reviews, shift)

    commands.serve.Predictor = Eager
    serve()


if __name__ == "__main__":
    main()
