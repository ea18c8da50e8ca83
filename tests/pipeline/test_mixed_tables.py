"""A table in several languages: how its language is found, and how each review is cleaned by its own."""

import json
import sys

import pandas as pd
import pytest
from ruamel.yaml import YAML

from src.serving.predictor import Predictor
from tests.conftest import SMALL, Project, changed_params, copy_project

AFTER_ENCODE = ("resample", "pretrain", "train", "baseline", "evaluate", "export")
ENGLISH = ["The app number {} is not working after the last update", "I really love these {} new features of this app"]
GERMAN = [
    "Die App Nummer {} funktioniert nach dem Update leider nicht",
    "Ich finde die {} neuen Funktionen sehr gelungen",
]
POLISH = [
    "Po ostatniej aktualizacji aplikacja numer {} nie działa wcale",
    "Bardzo lubię te {} nowe funkcje tej aplikacji",
]


def table_of(*templates: list[str], rows: int = 60) -> str:
    texts = [template.format(number) for number in range(rows) for each in templates for template in each]
    return "content,score\n" + "".join(f"{text},{1 + i % 5}\n" for i, text in enumerate(texts))


@pytest.fixture(scope="module")
def run_on(tmp_path_factory: pytest.TempPathFactory):
    """Run prepare, clean and encode on a table in a copy of the project; return it and what the stages print."""
    project = copy_project(tmp_path_factory.mktemp("mixed") / "project")

    def run_on_table(table: str, language: str) -> tuple[Project, str]:
        (project.path / "table.csv").write_text(table, encoding="utf-8")
        changed = changed_params(SMALL | {"data.path": "table.csv", "data.language": language})
        YAML().dump(changed, project.path / "params.yaml")
        stages = ("prepare", "teach", "clean", "encode")
        return project, "".join(project.run(sys.executable, "-m", f"stages.{stage}") for stage in stages)

    return run_on_table


def summary_of(project: Project) -> dict:
    return json.loads((project.path / "metrics/data.json").read_text())


def test_the_language_of_a_table_is_found(run_on):
    project, printed = run_on(table_of(GERMAN), "auto")
    assert "prepare: language: german (found: german 100%)" in printed
    assert summary_of(project)["language"] == "german"
    assert summary_of(project)["languages"] == {"german": 1.0}
    cleaned = pd.read_parquet(project.path / "data/clean/train.parquet")
    assert set(cleaned.language) == {"german"}
    # "die", "nach" and "dem" are stop words; "nicht" is kept; "funktioniert" is stemmed.
    assert cleaned.text[cleaned.text.str.contains("nicht")].str.contains("app numm .* funktioniert .*nicht").all()


def test_a_language_without_rules_is_other(run_on):
    project, printed = run_on(table_of(POLISH), "auto")
    assert "prepare: language: other (found: polish 100%)" in printed
    assert summary_of(project)["language"] == "other"
    cleaned = pd.read_parquet(project.path / "data/clean/train.parquet")
    assert cleaned.text.str.contains("działa wcale|tej aplikacji").all()  # neither stemmed nor dropped


def test_each_review_of_a_mixed_table_is_cleaned_by_its_language(run_on):
    project, printed = run_on(table_of(ENGLISH, GERMAN, POLISH), "auto")
    assert "prepare: language: mixed (found: " in printed
    shares = summary_of(project)["languages"]
    assert set(shares) == {"english", "german", "polish"}
    assert sum(shares.values()) == pytest.approx(1, abs=0.001)
    raw, cleaned = (
        pd.read_parquet(project.path / f"data/{stage}/train.parquet").set_index("row") for stage in ("prepare", "clean")
    )
    assert (raw.language == cleaned.language).all()
    for language, start, expected in (
        ("english", "I really", "realli love new featur app"),
        ("german", "Ich finde", "find neu funktion sehr gelung"),
        ("polish", "Bardzo", "bardzo lubię te nowe funkcje tej aplikacji"),
    ):
        texts = cleaned.text[raw.text.str.startswith(start)].str.replace(r" \d+", "", regex=True)
        assert set(cleaned.language[texts.index]) == {language}
        assert set(texts) == {expected}


def test_a_fixed_language_is_not_looked_for(run_on):
    project, printed = run_on(table_of(GERMAN), "german")
    assert "prepare: language" not in printed
    assert summary_of(project)["languages"] == {}


def test_encode_warns_of_another_language(run_on):
    numbered = [template.replace("{}", "{0}a {0}b {0}c") for template in GERMAN]  # no other review has these words
    _, printed = run_on(table_of(numbered), "english")
    assert "encode: warning: " in printed
    assert "the reviews look German: set data.language to german, not english, or to auto" in printed


def test_the_exported_model_cleans_a_mixed_table_in_the_same_way(run_on):
    project, _ = run_on(table_of(ENGLISH, GERMAN, POLISH, rows=20), "mixed")
    printed = [project.run(sys.executable, "-m", f"stages.{stage}") for stage in AFTER_ENCODE]
    assert "export: same word ids and probabilities" in printed[-1]
    raw, cleaned = (pd.read_parquet(project.path / f"data/{stage}/test.parquet") for stage in ("prepare", "clean"))
    predictor = Predictor(project.path / "models/export")
    assert predictor.description.language == "mixed"
    assert [predictor.clean(text) for text in raw.text] == list(cleaned.text)
    slices = pd.read_csv(project.path / "data/evaluate/slices.csv")
    assert set(slices.value[slices.slice == "language"]) == {"english", "german", "polish"}
