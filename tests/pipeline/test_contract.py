"""dvc.yaml, params.yaml, the stages and src tell the same story."""

import ast

import pytest
from ruamel.yaml import YAML

from src.core.params import Params
from tests.conftest import ROOT

PIPELINE = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")
STAGES = PIPELINE["stages"]
OUTPUT_KINDS = ("outs", "metrics", "plots")
ROOMS = ("core", "corpus", "formats", "tables", "text", "evaluation", "learning", "serving")
"""The folders of src, in the order in which a review walks through them."""
OURS = [path for folder in ("src", "stages", "commands") for path in (ROOT / folder).rglob("*.py")]


def imported_modules(path):
    """Files of src that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {ROOT / f"{name.replace('.', '/')}.py" for name in names if name.split(".")[0] == "src"}
    return {path for path in found if path.exists()}


def reached_modules(path):
    """Files of src that a file imports, and those that they import, and so on."""
    reached, waiting = set(), imported_modules(path)
    while waiting:
        module = waiting.pop()
        reached.add(module)
        waiting |= imported_modules(module) - reached
    return {module.relative_to(ROOT).as_posix() for module in reached}


def modules_of(room):
    return [path for path in (ROOT / "src" / room).glob("*.py") if path.name != "__init__.py"]


def chain(node):
    """The names of a.b.c, with params for what read_params gives; nothing for another expression."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Call) and chain(node.func) == ["read_params"]:
        return ["params"]
    return [*chain(node.value), node.attr] if isinstance(node, ast.Attribute) and chain(node.value) else []


def read_params(path):
    """What a stage reads of params.yaml: 'section.key', or 'section' where it passes the whole section on."""
    found = set()

    class Visitor(ast.NodeVisitor):
        def visit_Call(self, node):
            if chain(node.func) == ["choose_kernels"]:
                found.add("train.portable")
            self.generic_visit(node)

        def visit_Attribute(self, node):
            names = chain(node)
            if names[:1] == ["params"]:
                found.add(".".join(names[1:3]))
            else:
                self.generic_visit(node)

    Visitor().visit(ast.parse(path.read_text(encoding="utf-8")))
    return {name for name in found if name.split(".")[0] in Params.model_fields}


def paths_of(stage, kind):
    return {path if isinstance(path, str) else next(iter(path)) for path in STAGES[stage].get(kind, [])}


def test_every_script_is_a_stage_and_every_stage_a_script():
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert scripts == set(STAGES)
    for name, stage in STAGES.items():
        assert stage["cmd"] == f"python -m stages.{name}"
        assert stage["desc"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_code(stage):
    """On each room of which it reaches three modules or more, or all; of other rooms on the modules themselves."""
    expected = {f"stages/{stage}.py"}
    reached = reached_modules(ROOT / f"stages/{stage}.py")
    for room in ROOMS:
        used = {module for module in reached if module.startswith(f"src/{room}/")}
        whole = len(used) > 2 or len(used) == len(modules_of(room))
        expected |= {f"src/{room}"} if used and whole else used
    assert {path for path in paths_of(stage, "deps") if path.split("/")[0] in ("src", "stages")} == expected


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_params_that_it_reads_and_no_others(stage):
    declared = set(STAGES[stage].get("params", []))
    read = read_params(ROOT / f"stages/{stage}.py")
    assert {name for name in read if name not in declared and name.split(".")[0] not in declared} == set()
    assert {name for name in declared if not any(f"{key}.".startswith(f"{name}.") for key in read)} == set()


def test_every_section_belongs_to_a_stage():
    declared = {name.split(".")[0] for stage in STAGES.values() for name in stage.get("params", [])}
    assert declared == set(Params.model_fields)
    assert set(STAGES) - declared == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_writes_to_a_folder_of_its_name(stage):
    for path in paths_of(stage, "outs") - {"data/raw/reviews.csv"}:
        assert path.split("/")[-1] == stage
    for kind in ("metrics", "plots"):
        assert all(entry[next(iter(entry))]["cache"] is False for entry in STAGES[stage].get(kind, []))


@pytest.mark.parametrize("stage", STAGES)
def test_the_paths_in_a_script_are_those_in_dvc_yaml(stage):
    """A path constant of a stage is one of its outputs or holds, or lies in, one of its dependencies."""
    tree = ast.parse((ROOT / f"stages/{stage}.py").read_text(encoding="utf-8"))
    constants = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and chain(node.func) == ["Path"] and isinstance(node.args[0], ast.Constant)
    } - {"params.yaml"}
    declared = paths_of(stage, "deps") | {path for kind in OUTPUT_KINDS for path in paths_of(stage, kind)}
    for path in constants:
        assert any(f"{known}/".startswith(f"{path}/") or path.startswith(f"{known}/") for known in declared), path


def test_imports_never_run_back():
    assert {path.name for path in (ROOT / "src").iterdir() if path.is_dir()} - {"__pycache__"} == set(ROOMS)
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not any(f"{word} {folder}" in text for word in ("import", "from") for folder in ("stages", "commands"))
        for module in imported_modules(path):
            assert ROOMS.index(module.parent.name) <= ROOMS.index(path.parent.name), (path, module)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_small_and_says_what_is_in_it(room):
    assert len(modules_of(room)) <= 14
    (door,) = ast.parse((ROOT / "src" / room / "__init__.py").read_text(encoding="utf-8")).body
    assert "Nothing here" in door.value.value or "Only" in door.value.value


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 50, node.name


def test_the_tests_mirror_the_rooms():
    rooms = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()} - {"__pycache__"}
    assert rooms == {*ROOMS, "commands", "pipeline", "benchmarks", "cases"}


def test_no_module_has_the_name_of_one_of_pythons_own():
    import sys

    ours = {path.stem for folder in ("src", "stages") for path in (ROOT / folder).rglob("*.py")}
    assert not ours & set(sys.stdlib_module_names)


def test_no_stage_imports_a_framework_that_it_does_not_use():
    users = {
        "tensorflow": {"encode", "export"},
        "torch": {"pretrain", "teach", "train", "evaluate", "export"},
        "imblearn": {"resample"},
        "nltk": {"clean", "pretrain", "export"},
        "onnxruntime": {"export"},
        "transformers": {"teach"},
    }
    for stage in STAGES:
        script = ROOT / f"stages/{stage}.py"
        files = [script, *(ROOT / name for name in reached_modules(script))]
        text = "\n".join(path.read_text(encoding="utf-8") for path in files)
        for framework, allowed in users.items():
            used = f"import {framework}" in text or f"from {framework}" in text
            assert used == (stage in allowed), (stage, framework)
