"""A name for a piece of work, by which it is known whether what an earlier process left of it can be used."""

import json
import sys
from collections.abc import Iterable
from hashlib import blake2b, file_digest
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("nltk", "numpy", "onnxruntime", "pyarrow", "safetensors", "torch")


def fingerprint(inputs: Iterable[Path], values: Any) -> str:
    """Name a piece of work by all that decides its result: code, inputs, parameters and versions.

    inputs: files and folders. values: parameters that JSON can hold.
    """
    ours = {name: getattr(module, "__file__", None) for name, module in sys.modules.items() if _is_ours(name)}
    code = [Path(file) for _, file in sorted(ours.items()) if file]
    files = [path for given in inputs for path in ([given] if given.is_file() else given.rglob("*")) if path.is_file()]
    digest = blake2b(digest_size=16)
    versions = {name: version(name) for name in PACKAGES if name in sys.modules} | {"python": sys.version}
    digest.update(json.dumps([values, versions], sort_keys=True).encode())
    for path in [*code, *sorted(files)]:
        with path.open("rb") as file:
            digest.update(file_digest(file, blake2b).digest())
    return digest.hexdigest()


def _is_ours(module: str) -> bool:
    return module == "__main__" or module.split(".")[0] in ("src", "stages", "commands")
