"""Measure the model beside the baselines on the same splits, over several seeds; write a Markdown table.

python -m benchmarks.quality --data FOLDER --tables canva,marc_de --seeds 5 --output docs/RESULTS.md
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

METRICS = ["accuracy", "macro_f1", "qwk", "mae", "log_loss", "ece"]
HERE = Path(__file__).parent
yaml = YAML()


def main() -> None:
    known = yaml.load(HERE / "quality.yaml")
    names = ", ".join(known)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the tables in benchmarks/quality.yaml; default needs none")
    parser.add_argument("--tables", default="default", help=f"names separated by commas, of {names}; default: default")
    parser.add_argument("--seeds", type=int, default=5, help="runs, with base.seed 1, 2, ...; default: 5")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change a parameter")
    parser.add_argument("--output", type=Path, help="file to write; the screen if left out")
    given = parser.parse_args()
    tables = given.tables.split(",")
    for name in tables:
        if name not in known:
            parser.error(f"{name}: no such table; there are {names}")
        if known[name] and given.data is None:
            parser.error(f"{name}: --data must name the folder that holds {known[name]['data']['path']}")
    text = f"`python -m benchmarks.quality {' '.join(sys.argv[1:])}`\n"
    for name in tables:
        text += f"\n## {name}\n\n" + measure(known[name], (given.data or Path()).resolve(), given.seeds, given.set)
    if given.output:
        given.output.write_text(text, encoding="utf-8")
    else:
        print(text)


def measure(changes: dict[str, Any], folder: Path, seeds: int, extra: list[str]) -> str:
    """Run the pipeline on one table once for each seed, in a clone of the last commit; give the table of scores."""
    parts, seconds = [], []
    with tempfile.TemporaryDirectory() as clone:
        subprocess.run(["git", "clone", "--quiet", ".", clone], check=True)
        params = yaml.load(Path(clone, "params.yaml"))
        for section, values in changes.items():
            params[section] |= values
        if changes:
            params["data"]["path"] = str(folder / params["data"]["path"])
        for change in extra:
            name, value = change.split("=", 1)
            section, key = name.split(".")
            params[section][key] = yaml.load(value)
        for seed in range(1, seeds + 1):
            params["base"]["seed"] = seed
            yaml.dump(params, Path(clone, "params.yaml"))
            started = time.monotonic()
            run = ["dvc", "repro", "evaluate"]
            done = subprocess.run(
                run, cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            if done.returncode:
                sys.exit(done.stdout)
            seconds.append(time.monotonic() - started)
            parts.append(pd.read_csv(Path(clone, "plots/evaluate/scores.csv")).assign(seed=seed))
            print(f"seed {seed}: {seconds[-1]:.0f} s", file=sys.stderr)
    return (
        table(pd.concat(parts)) + f"\nSeconds: {seconds[0]:.0f} for all stages, then {min(seconds):.0f} for a seed.\n"
    )


def table(scores: pd.DataFrame) -> str:
    """Mean over the seeds, and the standard deviation where the seed changes the score, as Markdown."""
    found = scores.groupby(["of", "metric"], sort=False).value.agg(["mean", "std"])
    lines = [["predictor", *METRICS], ["---"] * (len(METRICS) + 1)]
    for name in dict.fromkeys(scores["of"]):
        cells = (found.loc[name, metric] for metric in METRICS)
        lines.append([name, *(f"{mean:.3f}" + (f" ± {std:.3f}" if std > 0 else "") for mean, std in cells)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
