"""Measure one model of a table in two languages beside a model of each language, on the same test reviews.

python -m benchmarks.mixed --tables reviews.csv:english,bewertungen.csv:german --text text --rating stars --seeds 3

The tables need a column `split` with train, valid or test. All models train without pre-training.
"""

import argparse
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from benchmarks.quality import COLUMNS, METRICS, all_scores, labels_of, run
from src.evaluation.metrics import PredictionResult, prediction_result

yaml = YAML()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", required=True, help="FILE:LANGUAGE, separated by commas; the same columns in all")
    parser.add_argument("--text", default="text", help="column of the texts; default: text")
    parser.add_argument("--rating", default="stars", help="column of the ratings; default: stars")
    parser.add_argument("--languages", default="mixed,other", help="data.language of the model of all tables")
    parser.add_argument("--seeds", type=int, default=3, help="runs, with base.seed 1, 2, ...; default: 3")
    given = parser.parse_args()
    tables = {Path(path).resolve(): language for path, language in (one.split(":") for one in given.tables.split(","))}
    results: dict[tuple[str, str], list[PredictionResult]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        clone, together = Path(name) / "clone", Path(name) / "together"
        subprocess.run(["git", "clone", "--quiet", ".", str(clone)], check=True)
        together.mkdir()
        for path in tables:
            (together / path.name).symlink_to(path)
        models = list(tables.items())
        models += [(together, language) for language in given.languages.split(",")]
        params = yaml.load(clone / "params.yaml")
        params["data"] |= {"text_column": given.text, "rating_column": given.rating, "split_column": "split"}
        params["pretrain"]["epochs"] = 0
        params["train"]["portable"] = False
        for seed in range(1, given.seeds + 1):
            params["base"]["seed"] = seed
            for path, language in models:
                params["data"] |= {"path": str(path), "language": language}
                yaml.dump(params, clone / "params.yaml")
                seconds = run(clone, "dvc", "repro", "evaluate")
                for table, result in results_by_table(clone, path).items():
                    results[table, language].append(result)
                print(f"seed {seed}, {path.name} as {language}: {seconds:.0f} s", file=sys.stderr, flush=True)
    print(f"`python -m benchmarks.mixed {' '.join(sys.argv[1:])}`\n\n{markdown(results)}")


def results_by_table(clone: Path, path: Path) -> dict[str, PredictionResult]:
    """Return the result on the test reviews of each file of the table."""
    predictions = pd.read_parquet(clone / "data/evaluate/predictions.parquet")
    files = pd.DataFrame({"file": [path.name], "first_row": [1]})
    if path.is_dir():
        files = pd.read_csv(clone / "data/prepare/files.csv")
    number = np.searchsorted(files.first_row, predictions.row, side="right") - 1
    return {
        name: prediction_result(rows[COLUMNS].to_numpy(), labels_of(rows))
        for name, rows in ((name, predictions[number == i]) for i, name in enumerate(files.file))
    }


def markdown(results: dict[tuple[str, str], list[PredictionResult]]) -> str:
    """Return a table of means and standard deviations over the seeds."""
    lines = [["reviews", "data.language", *METRICS], ["---"] * (len(METRICS) + 2)]
    for (table, language), runs in sorted(results.items()):
        found = pd.DataFrame([all_scores(result) for result in runs])
        lines.append([table, language, *(f"{found[name].mean():.3f} ± {found[name].std():.3f}" for name in METRICS)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
