"""Read files of a commit, branch, tag or experiment without checking it out."""

import io
from typing import Any

import dvc.api
import pandas as pd
import pyarrow.parquet as pq
from dvc.exceptions import FileMissingError, PathMissingError
from dvc.repo import Repo
from dvc.scm import RevError, resolve_rev
from dvc_data.index import DataIndexDirError

from src.core.errors import UserError
from src.core.files import parse_yaml


def read_at(revision: str, path: str) -> bytes:
    """Return the content of a file that Git or DVC tracks. The revision `workspace` is the working tree.

    Raises:
        UserError: the revision does not exist, or the file is not in it or not in DVC's cache.
    """
    try:
        return dvc.api.read(path, rev=None if revision == "workspace" else revision, mode="rb")
    except RevError:
        raise UserError(f"{revision}: no such commit, branch, tag or experiment; see dvc exp list --all") from None
    except PathMissingError:
        raise UserError(f"{revision}: has no {path}; run dvc repro there and commit dvc.lock") from None
    except (FileMissingError, DataIndexDirError):
        raise UserError(f"{revision}: {path} is not in DVC's cache; run dvc pull or rerun the experiment") from None


def names_at(revision: str, folder: str) -> list[str]:
    """Return the names of the files in a folder that Git or DVC tracks; none if there is no such folder."""
    files = dvc.api.DVCFileSystem(rev=None if revision == "workspace" else revision)
    paths = files.ls(folder, detail=False) if files.exists(folder) else []
    return sorted(path.rpartition("/")[2] for path in paths)


def yaml_at(revision: str, path: str) -> Any:
    """Return the content of a YAML file; see read_at."""
    return parse_yaml(read_at(revision, path).decode("utf-8", "replace"), f"{revision}: {path}")


def parquet_at(revision: str, path: str) -> pd.DataFrame:
    """Return the content of a Parquet file; see read_at.

    Read in this thread only: if an Arrow thread still holds the bytes when the interpreter exits, the process aborts.
    Source: https://github.com/apache/arrow/issues/33975.
    """
    content = pq.ParquetFile(io.BytesIO(read_at(revision, path)))
    return content.read(use_threads=False).to_pandas(use_threads=False)


def commit_of(revision: str) -> str:
    """Return the full commit hash of a revision; for the workspace, the one of HEAD."""
    with Repo() as repo:
        return resolve_rev(repo.scm, "HEAD" if revision == "workspace" else revision)
