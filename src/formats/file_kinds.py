"""Say what a file is that is not read as a table, and how to convert it."""

import re

SPREADSHEET = "save it as .xlsx or as CSV"
PARQUET_BY = "convert it to Parquet with pandas.{}(...).to_parquet(...)"
OLD_EXCEL = "an old Excel workbook: give it the extension .xls"
OPEN_DOCUMENT = f"an OpenDocument spreadsheet: {SPREADSHEET}"
NUMBERS = "a Numbers spreadsheet: export it as .xlsx or as CSV"
FEATHER = f"an Arrow or Feather file: {PARQUET_BY.format('read_feather')}"
ORC = f"an ORC file: {PARQUET_BY.format('read_orc')}"
AVRO = "an Avro file: convert it to Parquet or JSON lines"
SQLITE = "an SQLite database: export the table with sqlite3 -header -csv FILE 'select * from TABLE'"
XML = "an XML file: convert it to CSV with pandas.read_xml(...).to_csv(...)"
PDF = "a PDF document: copy its table into a spreadsheet and save it as CSV"
WORD = "a Word document: copy its table into a spreadsheet and save it as CSV"
R_DATA = "an R file: write the table with write.csv in R"
STATA = f"a Stata file: {PARQUET_BY.format('read_stata')}"
SPSS = "an SPSS file: save it as CSV in SPSS"
PICKLE = "a Python pickle, which is never read because it can run code: write the table with to_parquet"
WEB_PAGE = "a web page, not a table: the address may need a login"

UNREAD_SUFFIXES = {
    ".numbers": NUMBERS,
    ".feather": FEATHER,
    ".arrow": FEATHER,
    ".orc": ORC,
    ".avro": AVRO,
    ".sqlite": SQLITE,
    ".db": SQLITE,
    ".html": "a web page: copy its table into a spreadsheet and save it as CSV",
    ".xml": XML,
    ".pdf": PDF,
    ".docx": WORD,
    ".rds": R_DATA,
    ".dta": STATA,
    ".sav": SPSS,
    ".pkl": PICKLE,
}
"""What the files with these suffixes are, and how to convert them to a table that is read."""

TEXT_FIRST = rb"(?=[\s\S]*[\x00-\x08\x0e-\x1f])"
"""Letters alone may also begin a header, so the file must have control characters, too."""
MAGIC = [
    (rb"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (rb"\xff\xd8\xff", "a JPEG picture"),
    (rb"GIF8[79]a", "a GIF picture"),
    (rb"%PDF-", PDF),
    (rb"PK(\x03\x04|\x05\x06)", "a ZIP archive: give it the extension .zip"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLD_EXCEL),
    (rb"\x1f\x8b", "gzip data: give it the extension .gz"),
    (rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", "bzip2 data: give it the extension .bz2"),
    (rb"\xfd7zXZ\x00", "xz data: give it the extension .xz"),
    (rb"\x28\xb5\x2f\xfd", "zstd data: give it the extension .zst"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (rb"Rar!\x1a\x07", "a RAR archive: unpack it first"),
    (rb"[\s\S]{257}ustar[\x00 ]", "a tar archive: give it the extension .tar"),
    (rb"PAR1" + TEXT_FIRST, "a Parquet file: give it the extension .parquet"),
    (rb"(ARROW1\x00\x00|FEA1" + TEXT_FIRST + rb")", FEATHER),
    (rb"ORC" + TEXT_FIRST, ORC),
    (rb"Obj\x01", AVRO),
    (rb"SQLite format 3\x00", SQLITE),
    (rb"\x80[\x02-\x05][\x95cX}\](\x8a-\x8e]", PICKLE),
    (rb"\x93NUMPY", "a NumPy array: write it as CSV"),
    (rb"\x89HDF\r\n\x1a\n", f"an HDF5 file: {PARQUET_BY.format('read_hdf')}"),
    (rb"<stata_dta>", STATA),
    (rb"\$FL[23]@\(#\)", SPSS),
    (rb"RD[AX][23]\n", R_DATA),
    (rb"\x7fELF", "a program"),
    (rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[\s\S]*)?(?i:<!doctype html|<html)", WEB_PAGE),
    (rb"(?:\xef\xbb\xbf)?\s*<\?xml", XML),
]
"""How files begin, and what they are."""
IN_ZIP = [
    (b"opendocument.spreadsheet", OPEN_DOCUMENT),
    (b"word/", WORD),
    (b"xl/", "an Excel workbook: give it the extension .xlsx"),
    (b".iwa", NUMBERS),
]
"""Names of members, and what the zip archive then is."""
UNICODE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
STRAY = 0.02
"""The share of NUL bytes up to which text is still text: some databases export a few."""
READABLE = 0.98
"""The share of printable characters from which bytes are text in an encoding."""


def describe_binary(start: bytes) -> str | None:
    """Return what a file is by its first bytes (a few thousand) and what to do, or None if it may be a text table."""
    for pattern, description in MAGIC:
        if re.match(pattern, start):
            members = IN_ZIP if start.startswith(b"PK") else []
            return next((kind for name, kind in members if name in start), description)
    return "binary data" if _has_unexplained_zeros(start) else None


def _has_unexplained_zeros(start: bytes) -> bool:
    """Return whether there are NUL bytes that are neither part of UTF-16 or UTF-32 nor a few in a text."""
    zeros = start.count(0)
    if not zeros or start.startswith(UNICODE_MARKS):
        return False
    if zeros <= STRAY * len(start) and not re.search(rb"[\x01-\x08\x0e-\x1f]", start):
        return False
    return not any(_is_text(start, encoding) for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"))


def _is_text(start: bytes, encoding: str) -> bool:
    width = 4 if "32" in encoding else 2
    # A character of UTF-16 that is cut in two at the end is no fault.
    text = start[: len(start) // width * width].decode(encoding, "replace")[:-1]
    good = sum((character.isprintable() or character.isspace()) and character != "\ufffd" for character in text)
    return bool(text) and "\0" not in text and good >= READABLE * len(text)
