"""Write one page about an experiment: its data, scores, mistakes and words, and what it takes to make it again.

python -m commands.report                              report.html, of what lies in the workspace
python -m commands.report lstm --output lstm.html      of an experiment, branch, tag or commit
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
from src.evaluation import charts

TEMPLATES = Path(__file__).parent
WORDS = 15
"""Words shown on either side."""
RARE = 3
"""Reviews that a word must have moved to be shown."""
MISTAKES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", nargs="?", default="workspace", help="default: what lies in the workspace")
    parser.add_argument("--output", type=Path, default=Path("report.html"), metavar="FILE", help=".html or .md")
    given = parser.parse_args()
    if given.output.suffix not in (".html", ".md"):
        parser.error(f"--output {given.output}: the name must end with .html or .md")
    facts = collect(given.revision)
    with atomic_write(given.output) as temporary:
        temporary.write_text(render(given.output.suffix, facts), encoding="utf-8", newline="\n")
    print(f"report: {given.output}")


def collect(revision: str) -> dict[str, Any]:
    """Everything that the templates show.

    Raises:
        UserError: something of it is not there, or it was made with other parameters than params.yaml has.
    """

    def table(path: str, separator: str = ",") -> pd.DataFrame:
        return pd.read_csv(io.BytesIO(read_at(revision, path)), sep=separator, keep_default_na=False)

    def curve(path: str) -> list[tuple[int, float]]:
        losses = table(path, "\t")
        return list(zip(losses.step.tolist(), losses.loss.tolist(), strict=True))

    params = check_params(yaml_at(revision, "params.yaml"), f"{revision}: params.yaml")
    lock = yaml_at(revision, "dvc.lock")
    refuse_stale(revision, params, lock)
    scores = table("plots/evaluate/scores.csv").set_index(["predictor", "metric"])
    words = table("data/evaluate/words.csv").query("reviews >= @RARE")
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


def refuse_stale(revision: str, params: Params, lock: Mapping[str, Any]) -> None:
    """Refuse results that were made with other parameters than those shown beside them."""
    given = params.model_dump()
    changed: set[str] = set()
    for stage in lock["stages"].values():
        for name, value in stage.get("params", {}).get("params.yaml", {}).items():
            section, _, key = name.partition(".")
            used = {key: value} if key else value
            changed |= {f"{section}.{key}" for key in used if given[section].get(key) != used[key]}
    if changed:
        raise UserError(
            f"{revision}: {', '.join(sorted(changed))} of params.yaml changed since the results were made; dvc repro"
        )


def render(suffix: str, facts: Mapping[str, Any]) -> str:
    """Fill a template; in HTML every text is escaped."""
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
