"""One table in every dialect that exports come in: no row is lost, none is invented, each is counted."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.core.errors import UserError
from src.core.params import Params
from tests.formats.conftest import Prepared, prepare_file
from tests.formats.dialect_writers import dialects, invented_rows

DIALECTS = dialects()
ROWS = invented_rows()


@pytest.mark.parametrize("name", DIALECTS)
def test_each_row_comes_out_as_it_was_written_or_is_counted(
    tmp_path: Path, make_params: Callable[..., Params], name: str
) -> None:
    dialect, path = DIALECTS[name], tmp_path / "a.csv"
    truth = Counter((text.strip(), int(rating)) for text, rating, _ in dialect(ROWS, path))

    def prepared(**data: Any) -> Prepared:
        changes = {f"data.{key}": value for key, value in (dialect.settings() | data).items()}
        return prepare_file(path, make_params(changes))

    refusal, found = "", None
    try:
        found = prepared()
    except UserError as error:
        refusal = str(error)
    if found is None:
        assert refusal.startswith(str(path))
        if not dialect.certain:
            return
        assert "set data.encoding" in refusal
        found = prepared(encoding=dialect.encoding)
    counts = found.summary["rows"]
    assert counts["read"] == len(ROWS) == counts["used"] + counts["rejected"]
    invented = Counter(zip(found.texts, found.stars, strict=True)) - truth
    if dialect.certain:
        assert (counts["used"], invented) == (len(truth), Counter())
    else:  # the text of a row whose quote never closes keeps the quote
        assert invented.total() <= (dialect.open_quote is not None)
