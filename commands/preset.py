"""Set the section data of params.yaml to the columns that a known exporter writes; presets.yaml describes them.

python -m commands.preset                                      list the presets
python -m commands.preset play_console --path data/mine.csv    set one, and the table to read

Only the lines of changed keys differ: comments, order and layout of params.yaml stay. `default` goes back.
"""

import argparse
import json
from collections.abc import Mapping
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from statistics import mode
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from src.core.errors import UserError, run
from src.core.files import atomic_write, parse_yaml
from src.core.params import check_params, read_params

PARAMS, PRESETS = Path("params.yaml"), Path("presets.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="a preset; without a name, all are listed")
    parser.add_argument("--path", metavar="FILE", help="also set data.path: a file, a folder or a URL")
    args = parser.parse_args()
    if args.name is None and args.path is not None:
        parser.error("--path needs the name of a preset")
    presets = read_presets(PRESETS)
    if args.name is None:
        width = max(map(len, presets))
        for name, preset in presets.items():
            print(f"{name:{width}}  {preset['exporter']}; {preset['source']}")
        return
    settings = settings_of(args.name, presets)
    if args.path is not None:
        settings["path"] = args.path
    set_data(PARAMS, settings, args.name)


def read_presets(path: Path) -> dict[str, dict[str, Any]]:
    """Read presets.yaml; each preset has its exporter, its source and all keys of `data` that it sets.

    Raises:
        UserError: presets.yaml does not exist, or a preset is incomplete.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; run this from the root of the repository")
    content = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    presets = {}
    for name, preset in content["presets"].items():
        if not isinstance(preset, dict) or preset.keys() != {"exporter", "source", "data"}:
            raise UserError(f"{path}: {name}: a preset has the keys exporter, source and data")
        presets[name] = preset | {"data": content["common"] | preset["data"]}
    return presets


def settings_of(name: str, presets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a preset sets in the section `data`.

    Raises:
        UserError: there is no such preset.
    """
    if name not in presets:
        near = get_close_matches(name, presets, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(presets)}"
        raise UserError(f"{PRESETS}: no preset {name}; {hint}")
    return dict(presets[name]["data"])


def set_data(path: Path, settings: Mapping[str, Any], name: str) -> None:
    """Write `settings` into the section `data` of params.yaml, and print each key that changes.

    Raises:
        UserError: params.yaml is not valid, before or after; the file stays as it is.
    """
    before = read_params(path).data.model_dump()
    if unknown := settings.keys() - before.keys():
        raise UserError(f"{PRESETS}: {name}: the section data has no key {', '.join(sorted(unknown))}")
    changes = {key: settings[key] for key in before if key in settings and settings[key] != before[key]}
    if not changes:
        print(f"{path}: nothing changed; the section data already has the preset {name}")
        return
    text = edit(path.read_bytes().decode(), changes)
    check_params(parse_yaml(text, str(path)), str(path))
    with atomic_write(path) as temporary:
        temporary.write_bytes(text.encode())
    for key, value in changes.items():
        print(f"data.{key}: {show(before[key])} -> {show(value)}")


def edit(text: str, changes: Mapping[str, Any]) -> str:
    """Return the text of params.yaml with new values of keys in the section `data`; other lines stay as they are.

    Raises:
        UserError: the keys of the section are not on lines of their own.
    """
    root = YAML().load(text)
    data, lines = root["data"], text.splitlines(keepends=True)
    if data.fa.flow_style():
        raise UserError(f"{PARAMS}: the section data must have one key on each line; write it without {{ and }}")
    comments = {key: comment for key in data if (comment := end_comment(data, key, lines))}
    column = mode([where for where, _ in comments.values()] or [0])
    starts = {key: data.lc.key(key)[0] for key in data}
    bounds = sorted({*starts.values(), *(root.lc.key(section)[0] for section in root), len(lines)})
    for key in sorted(changes, key=starts.__getitem__, reverse=True):  # from the end: earlier line numbers stay valid
        start = starts[key]
        end = bounds[bounds.index(start) + 1]
        while end > start + 1 and lines[end - 1].strip()[:1] in ("", "#"):
            end -= 1
        block = isinstance(data[key], CommentedSeq) and not data[key].fa.flow_style()
        first, *rest = yaml_lines(key, changes[key], block)
        indent = lines[start][: data.lc.key(key)[1]]
        first = indent + first
        if key in comments:
            first = f"{first.ljust(column - 2)}  {comments[key][1]}"
        line_end = "\r\n" if lines[start].endswith("\r\n") else "\n"
        lines[start:end] = [line + line_end for line in (first, *(indent + line for line in rest))]
    return "".join(lines)


def end_comment(data: CommentedMap, key: str, lines: list[str]) -> tuple[int, str] | None:
    """Return the column and the text of the comment behind a value, None if it has no comment."""
    token = (data.ca.items.get(key) or [None] * 3)[2]
    if token is None:
        return None
    mark = token.start_mark
    line = lines[mark.line].rstrip()
    behind_value = line[: mark.column].strip() and line[mark.column :].startswith("#")
    return (mark.column, line[mark.column :]) if behind_value else None


def yaml_lines(key: str, value: Any, block: bool) -> list[str]:
    """Return `key: value` as lines of YAML; a list has one line, or with `block` one more for each element."""
    if isinstance(value, list):
        value = CommentedSeq(value)
        if not block:
            value.fa.set_flow_style()
    yaml, stream = YAML(), StringIO()
    yaml.width = 2**16
    yaml.dump({key: value}, stream)
    return stream.getvalue().splitlines()


def show(value: Any) -> str:
    """Format a value for people."""
    if value is None:
        return "empty"
    if isinstance(value, list):
        return f"[{', '.join(map(show, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {show(cell)}' for key, cell in value.items())}}}"
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    run(main)
