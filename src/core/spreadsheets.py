"""Keep a spreadsheet from running a text as a formula, in a way that can be undone.

Source: OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection
"""

import re
from typing import Any

SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\ufb29\u207a\u208a\u207c\u208c"
"""With which a formula begins, also in the other widths that programs read as these signs."""
IGNORED = (
    "\\s'\\x00-\\x1f\\x7f-\\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
)
"""What programs may drop before it: white space, control characters, signs without width. An apostrophe, since it marks
an escaped text, which is escaped once more."""
FORMULA = re.compile(f"[{IGNORED}]*[{SIGNS}]|'*[\t\r\n]")


def escape_formula(cell: Any) -> Any:
    """Prefix a text with an apostrophe if a spreadsheet might run it as a formula; return other cells as they are."""
    return f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell


def unescape_formula(cell: Any) -> Any:
    """Return the cell that escape_formula was given."""
    return cell[1:] if isinstance(cell, str) and cell.startswith("'") and FORMULA.match(cell[1:]) else cell
