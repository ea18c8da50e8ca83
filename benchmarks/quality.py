"""Measure the model beside its peers on the same splits, over several seeds; write a Markdown table.

pip install -r requirements-benchmarks.txt
python -m benchmarks.quality --data FOLDER --tables canva,marc_de --seeds 5 --output docs/RESULTS.md
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from src.core.schema import STARS, TRUE_PROBABILITIES
from src.evaluation.decisions import decide
from src.evaluation.metrics import PredictionResult, percentile_interval, prediction_result, scores
from src.evaluation.significance import paired_draws

METRICS = ["accuracy", "macro_f1", "qwk", "mae", "log_loss", "ece"]
BINS, RESAMPLES = 10, 1000
COLUMNS = [f"p{star}" for star in STARS]
HERE = Path(__file__).parent
yaml = YAML()


def main() -> None:
    known = yaml.load(HERE / "quality.yaml")
    names = ", ".join(known)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the tables in benchmarks/quality.yaml; default needs none")
    parser.add_argument("--tables", default="default", help=f"names separated by commas, of {names}; default: default")
    parser.add_argument("--seeds", type=int, default=5, help="runs, with base.seed 1, 2, ...; default: 5")
    parser.add_argument("--peers", help="peers of benchmarks/peers.py; default: those named in quality.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change a parameter")
    parser.add_argument("--output", type=Path, help="file to write; the screen if left out")
    given = parser.parse_args()
    tables = given.tables.split(",")
    for name in tables:
        if name not in known:
            parser.error(f"{name}: no such table; there are {names}")
        if "data" in known[name] and given.data is None:
            parser.error(f"{name}: --data must name the folder that holds {known[name]['data']['path']}")
    text = f"`python -m benchmarks.quality {' '.join(sys.argv[1:])}`\n"
    for name in tables:
        changes = dict(known[name])
        peers = changes.pop("peers")
        if given.peers is not None:
            peers = list(filter(None, given.peers.split(",")))
        text += f"\n## {name}\n\n" + measure(changes, (given.data or Path()).resolve(), given.seeds, given.set, peers)
    if given.output:
        given.output.write_text(text, encoding="utf-8")
    else:
        print(text)


def measure(changes: dict[str, Any], folder: Path, seeds: int, extra: list[str], peers: list[str]) -> str:
    """Run pipeline and peers on one table once for each seed, in a clone of the last commit; give the table."""
    runs: dict[str, list[PredictionResult]] = defaultdict(list)
    nearest: dict[str, list[PredictionResult]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name)
        subprocess.run(["git", "clone", "--quiet", ".", name], check=True)
        params = yaml.load(clone / "params.yaml")
        for section, values in changes.items():
            params[section] |= values
        if "data" in changes:
            params["data"]["path"] = str(folder / params["data"]["path"])
        for change in extra:
            key, value = change.split("=", 1)
            section, key = key.split(".")
            params[section][key] = yaml.load(value)
        for seed in range(1, seeds + 1):
            params["base"]["seed"] = seed
            yaml.dump(params, clone / "params.yaml")
            run(clone, "dvc", "repro", "resample")
            seconds["model"].append(run(clone, "dvc", "repro", "train"))
            run(clone, "dvc", "repro", "evaluate")
            if peers:
                run(clone, sys.executable, "-m", "benchmarks.peers", "--peers", ",".join(peers), "--seed", str(seed))
                for peer, found in json.loads((clone / "data/peers/seconds.json").read_text(encoding="utf-8")).items():
                    seconds[peer].append(found["seconds"])
            prior, everyone = read_predictions(clone, peers)
            for predictor, (probabilities, labels) in everyone.items():
                runs[predictor].append(prediction_result(probabilities, labels))
                nearest[predictor].append(
                    prediction_result(probabilities, labels, decide(probabilities, "posterior_median", prior))
                )
            print(f"seed {seed}: {seconds['model'][-1]:.0f} s to train", file=sys.stderr, flush=True)
    return markdown(runs, seconds) + "\nThe same probabilities, posterior median:\n\n" + markdown(nearest, {})


def run(clone: Path, *command: str) -> float:
    """Run a command there and give the seconds it took; end with what it said if it failed."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout)
    return time.monotonic() - started


def read_predictions(clone: Path, peers: list[str]) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The class shares of the train split, and for each predictor its probabilities of the test split and the labels.

    The labels of a peer with ratings of its own are those.
    """
    splits = {split: pd.read_parquet(clone / f"data/prepare/{split}.parquet") for split in ("train", "test")}
    ours, labels = pd.read_parquet(clone / "data/evaluate/predictions.parquet"), labels_of(splits["test"])
    everyone = {"model": (ours[COLUMNS].to_numpy(), labels)}
    baselines = sorted((clone / "data/baseline").glob("*.parquet"))
    teachers = (clone / "data/teach").glob("teacher.parquet")
    for path in [*baselines, *teachers, *(clone / f"data/peers/{peer}.parquet" for peer in peers)]:
        table = pd.read_parquet(path)
        everyone[path.stem] = (table[COLUMNS].to_numpy(), labels_of(table) if "rating" in table else labels)
    true_probabilities = splits["test"][list(TRUE_PROBABILITIES)]
    if true_probabilities.notna().all(axis=None):
        everyone["bayes_optimal"] = (true_probabilities.to_numpy(), labels)
    counts = np.bincount(labels_of(splits["train"]), minlength=len(STARS))
    return counts / counts.sum(), everyone


def labels_of(table: pd.DataFrame) -> np.ndarray:
    """The class of each rating, int64 [reviews]."""
    return table.rating.to_numpy(np.int64) - STARS[0]


def markdown(runs: Mapping[str, Sequence[PredictionResult]], seconds: Mapping[str, Sequence[float]]) -> str:
    """Mean and standard deviation over the seeds; a star where a peer differs from the model by more than chance."""
    lines = [["predictor", *METRICS, "seconds"], ["---"] * (len(METRICS) + 2)]
    for name, results in runs.items():
        found = pd.DataFrame([all_scores(result) for result in results])
        same_reviews = all(np.array_equal(result.labels, runs["model"][0].labels) for result in results)
        apart = chances(runs["model"], results) if name != "model" and same_reviews else {}
        cells = [
            f"{found[metric].mean():.3f}"
            + (f" ± {found[metric].std():.3f}" if found[metric].nunique() > 1 else "")
            + (" *" if metric in apart else "")
            for metric in METRICS
        ]
        lines.append([name, *cells, f"{np.median(seconds[name]):.0f}" if name in seconds else ""])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def chances(ours: Sequence[PredictionResult], theirs: Sequence[PredictionResult]) -> set[str]:
    """The metrics in which two predictors differ by more than the choice of the test reviews explains."""
    intervals = {
        name: percentile_interval(gaps)
        for name, gaps in paired_draws(all_scores, ours, theirs, RESAMPLES, seed=1).items()
    }
    return {metric for metric, (low, high) in intervals.items() if low > 0 or high < 0}


def all_scores(result: PredictionResult) -> dict[str, float]:
    """Every metric of one set of predictions."""
    return scores(result, len(STARS), BINS)


if __name__ == "__main__":
    main()
