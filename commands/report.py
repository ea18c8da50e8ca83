"""Write a one-page report on an experiment: scores, training, mistakes, words, data and how to reproduce it.

python -m commands.report                              report.html for the workspace
python -m commands.report lstm --output lstm.html      for an experiment, branch, tag or commit
python -m commands.report --output report.md           the short form, for a pull request
"""

import argparse
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from commands.revisions import commit_of, read_at, yaml_at
from src.core.errors import UserError, run
from src.core.files import atomic_write
from src.core.params import Params, check_params
from src.core.schema import STARS
from src.core.spreadsheets import unescape_formula
from src.evaluation import charts

TEMPLATES = Path(__file__).parent
WORDS = 15
"""Words shown of those that raise the rating, and of those that lower it."""
MIN_REVIEWS = 3
"""Words in fewer reviews are not shown."""
MISTAKES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", nargs="?", default="workspace", help="default: the workspace")
    parser.add_argument("--output", type=Path, default=Path("report.html"), metavar="FILE", help=".html or .md")
    args = parser.parse_args()
    if args.output.suffix not in (".html", ".md"):
        parser.error(f"--output {args.output}: the name must end with .html or .md")
    facts = collect(args.revision)
    with atomic_write(args.output) as temporary:
        temporary.write_text(render(args.output.suffix, facts), encoding="utf-8", newline="\n")
    print(f"report: {args.output}")


def collect(revision: str) -> dict[str, Any]:
    """Collect everything that the templates show.

    Raises:
        UserError: a file is missing, or the results were made with parameters other than those of params.yaml.
    """

    def table(path: str, separator: str = ",") -> pd.DataFrame:
        raw = pd.read_csv(io.BytesIO(read_at(revision, path)), sep=separator, keep_default_na=False)
        return raw.map(unescape_formula).rename(columns=unescape_formula)

    def curve(path: str) -> list[tuple[int, float]]:
        losses = table(path, "\t")
        return list(zip(losses.step.tolist(), losses.loss.tolist(), strict=True))

    params = check_params(yaml_at(revision, "params.yaml"), f"{revision}: params.yaml")
    lock = yaml_at(revision, "dvc.lock")
    check_up_to_date(revision, params, lock)
    scores = table("plots/evaluate/scores.csv").set_index(["predictor", "metric"])
    words = table("data/evaluate/words.csv").query("reviews >= @MIN_REVIEWS")
    test, train, data = (json.loads(read_at(revision, f"metrics/{name}.json")) for name in ("test", "train", "data"))
    return {
        "revision": revision,
        "commit": commit_of(revision),
        "params": params.model_dump(),
        "outputs": [(out["path"], out["md5"]) for stage in lock["stages"].values() for out in stage.get("outs", [])],
        "data": data,
        "best": train,
        "test": test,
        "scores": scores,
        "predictors": scores.index.get_level_values("predictor").unique().tolist(),
        "metrics": scores.index.get_level_values("metric").unique().tolist(),
        "losses": [curve(f"plots/train/metrics/{split}/loss.tsv") for split in ("train", "valid")],
        "confusion": table("plots/evaluate/confusion.csv").pivot(index="actual", columns="predicted", values="reviews"),
        "reliability": table("plots/evaluate/reliability.csv"),
        "by_star": table("plots/evaluate/stars.csv"),
        "slices": table("data/evaluate/slices.csv"),
        "raising": words.head(WORDS),
        "lowering": words[::-1].head(WORDS),
        "mistakes": table("data/evaluate/mistakes.csv").head(MISTAKES),
    }


def check_up_to_date(revision: str, params: Params, lock: Mapping[str, Any]) -> None:
    """Check that the results were made with the parameters of params.yaml, which are shown beside them."""
    current = params.model_dump()
    changed: set[str] = set()
    for stage in lock["stages"].values():
        for name, value in stage.get("params", {}).get("params.yaml", {}).items():
            section, _, key = name.partition(".")
            used = {key: value} if key else value
            changed |= {f"{section}.{key}" for key in used if current[section].get(key) != used[key]}
    if changed:
        raise UserError(
            f"{revision}: params.yaml changed since the results were made ({', '.join(sorted(changed))}); run dvc repro"
        )


def render(suffix: str, facts: Mapping[str, Any]) -> str:
    """Fill the template for .html or .md; HTML escapes every text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=suffix == ".html",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"report{suffix}").render(facts, charts=charts, stars=STARS)


if __name__ == "__main__":
    run(main)
