"""Draw the pictures of the documents again from the results in the workspace.

python -m docs.pictures
dvc exp run --temp --name rnn -S model.cell=rnn && python -m docs.pictures --rnn rnn

docs/images/report.png is the top of the report, drawn by Chromium; docs/images/loss.svg shows the two loss curves.
With --rnn, docs/images/lstm-rnn.svg shows the validation loss of the LSTM and of an experiment with a plain RNN.
"""

import argparse
import csv
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import dvc.api
from playwright.sync_api import sync_playwright

from commands.report import collect, render
from src.core.errors import UserError, run
from src.evaluation.charts import BOTTOM, HEIGHT, LEFT, RIGHT, WIDTH, make_chart

IMAGES = Path("docs/images")
CURVES = {split: Path(f"plots/train/metrics/{split}/loss.tsv") for split in ("train", "valid")}
COLOURS = {"train": "#1f66b5", "valid": "#b5541f", "LSTM": "#1f66b5", "RNN": "#b5541f"}
SIZE = {"width": 800, "height": 640}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rnn", metavar="EXPERIMENT", help="experiment or commit with model.cell=rnn")
    given = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    curves = {name: read_curve(path.read_text(encoding="utf-8")) for name, path in CURVES.items()}
    draw(IMAGES / "loss.svg", curves, "Loss by epoch on the train and the validation split", name_at=2)
    if given.rnn:
        rnn = read_curve(dvc.api.read(str(CURVES["valid"]), rev=given.rnn))
        cells = {"LSTM": curves["valid"], "RNN": rnn}
        draw(IMAGES / "lstm-rnn.svg", cells, "Validation loss by epoch of the LSTM and a plain RNN", name_at=5)
    photograph(IMAGES / "report.png")
    print(f"pictures: {IMAGES}")


def read_curve(table: str) -> list[tuple[float, float]]:
    """Return the points (epoch, loss) that dvclive wrote."""
    return [(float(row["step"]), float(row["loss"])) for row in csv.DictReader(table.splitlines(), delimiter="\t")]


def draw(path: Path, curves: dict[str, list[tuple[float, float]]], title: str, name_at: int) -> None:
    """Draw curves with axes as SVG; each curve carries its name at the point `name_at`, where they are far apart."""
    chart = make_chart(list(curves.values()), whole_x=True)
    parts = []
    for place, label in chart.y_ticks:
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place}" y2="{place}" stroke="#d9dce0"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{place + 4}" text-anchor="end">{label}</text>')
    for place, label in chart.x_ticks:
        parts.append(f'<text x="{place}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{label}</text>')
    for name, points in zip(curves, chart.lines, strict=True):
        line = " ".join(f"{x},{y}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
        x, y = points[min(name_at, len(points) - 1)]
        parts.append(f'<text x="{x + 4}" y="{y - 8}" style="fill:{COLOURS[name]}">{name}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH) // 2}" y="{HEIGHT - 6}" text-anchor="middle">epoch</text>')
    parts.append(f'<text transform="translate(12 {HEIGHT // 2}) rotate(-90)" text-anchor="middle">loss, nats</text>')
    body = "\n".join(parts)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'role="img" aria-label="{title}">\n'
        '<style>text { font: 12px sans-serif; fill: #5b6168 }</style>\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f"{body}\n</svg>\n"
    )
    path.write_text(svg, encoding="utf-8", newline="\n")


def photograph(path: Path) -> None:
    """Take a picture of the top of the report.

    Raises:
        UserError: this machine has no Chromium or Chrome.
    """
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise UserError("no Chromium or Chrome found; install one to draw the report")
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "report.html"
        page_file.write_text(render(".html", collect("workspace")), encoding="utf-8")
        page = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page(viewport=SIZE)
        page.goto(page_file.as_uri())
        page.screenshot(path=path)


if __name__ == "__main__":
    run(main)
