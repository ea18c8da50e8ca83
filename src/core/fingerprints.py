"""A fingerprint of everything a result depends on, so that a later run can tell whether it can reuse the result."""

import json
import sys
from collections.abc import Iterable
from hashlib import blake2b, file_digest
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROJECT_PACKAGES = ("src", "stages", "commands")
VERSIONED_PACKAGES = ("nltk", "numpy", "onnxruntime", "pyarrow", "safetensors", "tokenizers", "torch", "transformers")


def fingerprint(inputs: Iterable[Path], values: Any) -> str:
    """Return a hash of code, inputs, parameters and versions: 32 hexadecimal digits.

    inputs: files, and folders with all files in them. values: parameters, as JSON can represent them. The code is that
    of the project's modules imported so far; the versions are those of Python and of the packages imported so far.
    """
    modules = sorted(name for name in sys.modules if name.split(".")[0] in ("__main__", *PROJECT_PACKAGES))
    code = [Path(file) for name in modules if (file := getattr(sys.modules[name], "__file__", None))]
    files = [path for root in inputs for path in ([root] if root.is_file() else root.rglob("*")) if path.is_file()]
    digest = blake2b(digest_size=16)
    versions = {name: version(name) for name in VERSIONED_PACKAGES if name in sys.modules} | {"python": sys.version}
    digest.update(json.dumps([values, versions], sort_keys=True).encode())
    for path in [*code, *sorted(files)]:
        with path.open("rb") as file:
            digest.update(file_digest(file, blake2b).digest())
    return digest.hexdigest()
