"""Write the exported model as an archive for TorchServe: raw texts in, ratings out, the same bytes for the same model.

python -m commands.archive review-stars.mar

Not recommended: TorchServe was archived in August 2025 and gets no security patches. commands.serve is what is kept up.
"""

import argparse
import json
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from src.core.errors import UserError, run
from src.core.files import atomic_write
from src.serving.predictor import EXPORTED_MODEL, Predictor

CODE = Path("src")
HANDLER = CODE / "archive_handler.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the archive, which ends in .mar")
    parser.add_argument(
        "--model", type=Path, default=EXPORTED_MODEL, metavar="FOLDER", help=f"default: {EXPORTED_MODEL}"
    )
    given = parser.parse_args()
    if given.output.suffix != ".mar":
        raise UserError(f"{given.output}: TorchServe knows an archive by its ending; end its name with .mar")
    version = Predictor(given.model).version
    files = {path.as_posix(): path for path in CODE.rglob("*.py")}
    files |= {(EXPORTED_MODEL / path.name).as_posix(): path for path in given.model.iterdir()}
    contents = {name: path.read_bytes() for name, path in files.items()}
    contents |= {HANDLER.name: HANDLER.read_bytes(), "MAR-INF/MANIFEST.json": manifest(version)}
    with atomic_write(given.output) as temporary, ZipFile(temporary, "w") as archive:
        for name, content in sorted(contents.items()):
            archive.writestr(ZipInfo(name), content)  # of 1 January 1980, so that the bytes know no time
    print(f"archive: {given.output}: model {version}")


def manifest(version: str) -> bytes:
    """What TorchServe reads first."""
    model = {"modelName": "review-stars", "modelVersion": version, "handler": HANDLER.name}
    return json.dumps({"runtime": "python", "archiverVersion": "0.12.0", "model": model}, indent=2).encode()


if __name__ == "__main__":
    run(main)
