"""Pack the exported model into a TorchServe archive that predicts from raw texts. Same model, same bytes.

python -m commands.archive review-stars.mar

Not recommended: TorchServe was archived in August 2025 and gets no security patches. Use commands.serve instead.
"""

import argparse
import json
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from src.core.errors import UserError, run
from src.core.files import atomic_write
from src.serving.predictor import EXPORTED_MODEL, Predictor

CODE = Path("src")
HANDLER = CODE / "serving/torchserve_handler.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the archive to write; its name ends with .mar")
    parser.add_argument(
        "--model", type=Path, default=EXPORTED_MODEL, metavar="FOLDER", help=f"default: {EXPORTED_MODEL}"
    )
    args = parser.parse_args()
    if args.output.suffix != ".mar":
        raise UserError(f"{args.output}: the name of a TorchServe archive must end with .mar")
    version = Predictor(args.model).version
    files = {path.as_posix(): path for path in CODE.rglob("*.py")}
    files |= {(EXPORTED_MODEL / path.name).as_posix(): path for path in args.model.iterdir()}
    contents = {name: path.read_bytes() for name, path in files.items()}
    contents |= {HANDLER.name: HANDLER.read_bytes(), "MAR-INF/MANIFEST.json": manifest(version)}
    with atomic_write(args.output) as temporary, ZipFile(temporary, "w") as archive:
        for name, content in sorted(contents.items()):
            archive.writestr(ZipInfo(name), content)  # dated 1980 and not now, for equal bytes
    print(f"archive: {args.output}: model {version}")


def manifest(version: str) -> bytes:
    """Return the manifest, which tells TorchServe the model's name, version and handler."""
    model = {"modelName": "review-stars", "modelVersion": version, "handler": HANDLER.name}
    return json.dumps({"runtime": "python", "archiverVersion": "0.12.0", "model": model}, indent=2).encode()


if __name__ == "__main__":
    run(main)
