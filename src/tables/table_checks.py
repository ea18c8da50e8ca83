"""Refuse a table that cannot be learnt from, or that was probably read in a wrong way."""

from src.core.errors import UserError
from src.core.params import Data
from src.core.schema import SPLITS
from src.tables.data_summary import DataSummary


def check_table(found: DataSummary, data: Data, max_rejected: float) -> None:
    """Refuse a table with ratings of another scale, too many rejected rows, an empty split or a single rating.

    Raises:
        UserError: the message says what the columns hold, and which setting to change.
    """
    rows = found.summary()["rows"]
    if other_scale := found.other_scale:
        raise UserError(f"{data.path}: {other_scale}")
    if rows["read"] and rows["textless"] == rows["read"]:
        problem = f"no row has a text ({describe_rows(rows)})"
        raise UserError(f"{data.path}: {problem}; check data.text_column ({data.text_column}) and data.missing")
    if found.rejected and not rows["used"]:
        columns = f"data.text_column ({data.text_column}) and data.rating_column ({data.rating_column})"
        raise UserError(f"{data.path}: {found.describe_rejected()}; check that {columns} are the right columns")
    if found.rejected_share > max_rejected:
        advice = "check the data settings, or raise prepare.max_rejected"
        raise UserError(f"{data.path}: {found.describe_rejected()}; {advice}")
    for split in SPLITS:
        if not found.splits[split]:
            cause = "data.split_column" if data.split_column else "prepare.valid_share and prepare.test_share"
            problem = f"no usable review for the {split} split ({describe_rows(rows)})"
            raise UserError(f"{data.path}: {problem}; check {cause}")
    if max(found.stars.values()) == found.stars.total():
        problem = f"all reviews have the same rating ({describe_rows(rows)})"
        raise UserError(f"{data.path}: {problem}; check data.rating_column")


def describe_rows(rows: dict[str, int]) -> str:
    """Return the numbers of rows as text."""
    textless = f", {rows['textless']} without text" if rows["textless"] else ""
    return "{read} rows: {used} used, {rejected} rejected, {duplicates} duplicates".format(**rows) + textless
