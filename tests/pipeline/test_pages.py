"""The page of dvc plots and the report, in a browser without a network."""

import base64
import hashlib
import json
import re
import shutil
import sys
from contextlib import contextmanager

import pandas as pd
import pytest
from dvc_render import VegaRenderer
from dvc_render.html import render_html

from tests.conftest import ROOT, Project

PHONE = {"width": 390, "height": 844}
DRAWN = """canvas => {
    if (!canvas.width) return [];
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const found = new Set();
    for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 3] == 255)
        found.add([pixels[i], pixels[i + 1], pixels[i + 2]].join());
    return [...found];
}"""
EVIL = '"><script>document.title = "owned"</script><img src=x onerror="document.title=1"> & <b>bold</b>'


@contextmanager
def opened(browser, path, **settings):
    """Open a page without a network; check at the end that it requested nothing else and logged no error."""
    context = browser.new_context(offline=True, **settings)
    page = context.new_page()
    urls, errors = [], []
    page.on("request", lambda request: urls.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert urls == [path.as_uri()]
    assert errors == []


@pytest.fixture
def reported(project: Project, tmp_path) -> Project:
    shutil.copytree(project.path, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def report(project, *arguments, ok=True):
    return project.run(sys.executable, "-m", "commands.report", *arguments, ok=ok)


def test_the_losses_of_two_experiments_are_drawn_without_a_network(experiments, browser, tmp_path):
    experiments.run("dvc", "plots", "diff", "HEAD", "slow", "--out", str(tmp_path / "plots"))
    with opened(browser, tmp_path / "plots/index.html") as page:
        loss = page.locator(".vega-embed", has_text="smooth").nth(1).locator("canvas")
        loss.wait_for()
        colours = loss.evaluate(DRAWN)
        assert {"148,93,214", "19,173,199"} <= set(colours)  # DVC's colours of the first two revisions
        charts = page.locator(".vega-embed canvas")
        assert charts.count() == page.locator(".vega-embed").count() >= 12
        drawn = [len(charts.nth(i).evaluate(DRAWN)) for i in range(charts.count())]
        assert drawn.count(0) == 2  # the curves of teach, which are empty without a teacher
        assert all(colours == 0 or colours > 5 for colours in drawn)


@pytest.mark.parametrize(
    "evil", [f"</script>{EVIL}", f"-->{EVIL}", f"</plaintext>{EVIL}", "<!--<script>", "\u2028'\\\""]
)
def test_a_branch_or_a_value_with_markup_runs_nothing_on_the_plots_page(browser, tmp_path, evil):
    rows = [{"rev": evil, "filename": evil, "field": "loss", "step": step, "loss": step} for step in range(3)]
    chart = VegaRenderer(rows, evil, x="step", y="loss", title=evil, revs_with_datapoints=[evil])
    render_html([chart, chart], tmp_path / "index.html", html_template=ROOT / ".dvc/plots.html")
    with opened(browser, tmp_path / "index.html") as page:
        canvas = page.locator(".vega-embed canvas").nth(1)
        canvas.wait_for()
        assert len(canvas.evaluate(DRAWN)) > 1
        assert page.title() == "Plots"
        assert page.locator("img, main").count() == 0


def test_the_plots_page_runs_its_own_scripts_only():
    page = (ROOT / ".dvc/plots.html").read_text(encoding="utf-8")
    scripts = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    policy = re.search('Content-Security-Policy" content="(.*?)"', page)[1]
    assert re.findall("'sha256-(.*?)'", policy) == hashes
    assert "script-src 'unsafe-eval' 'sha256" in policy  # Vega makes functions from its expressions
    assert policy.startswith("default-src 'none';")


def test_the_report_of_an_experiment_shows_its_scores_and_draws_its_curves(experiments, browser, tmp_path):
    report(experiments, "slow", "--output", str(tmp_path / "slow.html"))
    metrics = json.loads(experiments.run("git", "show", f"{ref_of(experiments, 'slow')}:metrics/test.json"))
    with opened(browser, tmp_path / "slow.html") as page:
        assert page.title() == "Review stars: slow"
        assert f"has a log loss of {metrics['log_loss']:.3f}" in page.locator("main").inner_text().replace("\n", " ")
        curves = page.get_by_role("img", name="Loss by epoch").locator("polyline")
        assert [len(curves.nth(i).get_attribute("points").split()) for i in range(curves.count())] == [2, 2]
        assert "lr: 0.0001" in page.locator("details").first.inner_html()
        page.set_viewport_size(PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def ref_of(project, name):
    refs = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    return next(ref for ref in refs if ref.endswith(f"/{name}"))


def test_a_review_with_markup_stays_text(reported, browser, tmp_path):
    mistakes = pd.read_csv(reported.path / "data/evaluate/mistakes.csv").assign(text=EVIL)
    mistakes.to_csv(reported.path / "data/evaluate/mistakes.csv", index=False)
    slices = pd.read_csv(reported.path / "data/evaluate/slices.csv").assign(value=EVIL)
    slices.to_csv(reported.path / "data/evaluate/slices.csv", index=False)
    report(reported)
    with opened(browser, reported.path / "report.html", color_scheme="dark") as page:
        assert page.title() == "Review stars: workspace"
        assert page.locator("script, img, main b:has-text('bold')").count() == 0
        assert page.get_by_text(EVIL, exact=True).count() == len(mistakes) + len(slices)


def test_the_short_form_has_the_scores_of_every_predictor(reported):
    report(reported, "HEAD", "--output", "report.md")
    text = (reported.path / "report.md").read_text(encoding="utf-8")
    scores = pd.read_csv(reported.path / "plots/evaluate/scores.csv")
    for predictor, part in scores.groupby("predictor"):
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {predictor} |")]
        assert all(f"| {value:.4f}" in line for value in part.value)
    assert "```mermaid" in text


def test_the_same_results_make_the_same_page(reported):
    report(reported, "--output", "one.html")
    report(reported, "--output", "two.html")
    assert (reported.path / "one.html").read_bytes() == (reported.path / "two.html").read_bytes()


def test_results_of_other_parameters_are_refused(reported):
    params = reported.path / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("grad_norm: 1.0", "grad_norm: 2.0"), encoding="utf-8")
    printed = report(reported, ok=False).strip()
    changed = "pretrain.max_grad_norm, teach.max_grad_norm, train.max_grad_norm"
    assert printed == (f"error: workspace: params.yaml changed since the results were made ({changed}); run dvc repro")
    assert not (reported.path / "report.html").exists()
