"""Find the encoding of a text file, and never guess in silence."""

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import IO, NamedTuple

from src.core.errors import UserError

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte-order marks; that of UTF-32 begins with that of UTF-16."""
CANDIDATES = (
    "cp1252 cp1250 iso8859_2 cp1251 koi8_r cp1253 cp1254 cp1255 cp1256 cp874 cp932 euc_jp gb18030 cp950 cp949"
).split()
ASCII = bytes(range(128))
SCRIPTS = {"LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI"}
SIGNS = r"\xa1-\xa9\xab-\xb3\xb5\xb6\xb8\xb9\xbb-\xbf\xd7\xf7\u2020\u2021\u2030\u201a\u201e\u2039\u203a"
ODD = re.compile(rf"[\x80-\x9f]|[^\W\d_][{SIGNS}]+[^\W\d_]")
"""A control character, or a sign inside a word: a letter of another encoding."""
FIRST_BYTES = bytes(range(0xC2, 0xF5))
"""With which the characters beyond ASCII begin in UTF-8."""
BLOCK = 1 << 20
EVIDENCE = 60_000
"""Bytes of lines beyond ASCII that decide."""
GOOD_FOR_BAD = 4
SURELY_GOOD_FOR_BAD = 10
"""Characters beyond ASCII that must be right for each that is not, for a file to count as UTF-8: if it looks right, and
in any case."""
MARGIN = 0.08
"""Lead of the best encoding below which it is not taken."""
LATIN = ("cp1252", "cp1250", "iso8859_2", "cp1254")
MOST_ACCENTS = 0.5
"""Share of letters beyond ASCII in words that have any above which a text is not in a Latin encoding."""
ENOUGH_LETTERS = 20
"""Letters beyond ASCII, in different words, below which only a Latin encoding is taken."""
ALPHABETS = (
    "äöüß éàèùâêîôûëïüÿçœæ áéíóúüñ àèéìòù ãõçáàâéêíóôú åäöé æøåé äöåšž áðéíóúýþæö éëïóöüá "
    "ąćęłńóśźż áčďéěíňóřšťúůýž áäčďéíĺľňóôŕšťúýž áéíóöőúüű ăâîșțşţ čćđšž çğıöşüâîû\u0307"
).split()
"""The letters beyond ASCII of languages in Latin letters: western, central European, Turkish."""
OF_ONE_LANGUAGE = 0.95
"""Share of the letters beyond ASCII that must be of one language where two encodings fit as well."""
FEWER_LETTERS = 8
MUCH_KANA = 0.3
"""The same for a text with a larger share of kana than this."""
FEW_ODD = 0.1
LATIN_MARGIN = 0.35
"""The same among Latin encodings, which agree in most letters."""
FEW = 0.03
"""Share of letters beyond ASCII below which cp1252, the most common encoding of English, needs no lead."""
SHOWN = 40
"""Characters of a review shown in each candidate."""

OpenBytes = Callable[[], AbstractContextManager[IO[bytes]]]


class Encoding(NamedTuple):
    """An encoding, and how many characters of the file it cannot read: each becomes U+FFFD. None: not counted yet."""

    name: str
    bad_characters: int | None = None


def find_encoding(open_bytes: OpenBytes, option: str) -> Encoding:
    """Find the encoding of a file: by its byte-order mark, UTF-8 even with a few bad bytes, else by its letters.

    Letters decide by charset-normalizer's figures: how well they fit a language, and how odd their sequence is.

    Raises:
        UserError: two encodings are as likely; the message shows a line in each, and names the setting, `option`.
    """
    with open_bytes() as file:
        start = file.read(4096)
    for mark, encoding in MARKS.items():
        if start.startswith(mark) and (encoding != "utf-16" or start[2:4] != b"\0\0"):
            return Encoding(encoding)
    if (without_mark := _without_mark(start)) is not None:
        return Encoding(without_mark)
    with open_bytes() as file:
        good, bad = _count_characters(file)
    if good >= SURELY_GOOD_FOR_BAD * bad:
        return Encoding("utf-8", bad)
    with open_bytes() as file:
        evidence = b"".join(_evidence(file))
    if good >= GOOD_FOR_BAD * bad and _looks_right(evidence.decode("utf-8", "ignore")):
        return Encoding("utf-8", bad)
    return Encoding(_by_letters(evidence, option))


def _without_mark(start: bytes) -> str | None:
    """Recognise UTF-16 without a mark by the zero bytes of its Latin letters, digits and line ends."""
    half = len(start) // 2
    for zeros, encoding in ((start[1::2], "utf-16-le"), (start[::2], "utf-16-be")):
        if half and zeros.count(0) > 0.3 * half:
            return encoding
    return None


def _count_characters(file: IO[bytes]) -> tuple[int, int]:
    """Read a file as UTF-8; count the characters beyond ASCII, and the sequences that are none."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lenient = codecs.getincrementaldecoder("utf-8")("replace")
    good = bad = 0
    block = b"start"
    while block:
        block = file.read(BLOCK)
        state = decoder.getstate()
        good += len(block) - len(block.translate(None, FIRST_BYTES))
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError:
            lenient.setstate(state)
            found = lenient.decode(block, final=not block).count("\ufffd") - block.count(b"\xef\xbf\xbd")
            good, bad = good - found, bad + found
            decoder.setstate(lenient.getstate())
    return good, bad


def _evidence(file: IO[bytes]) -> Iterator[bytes]:
    """Yield whole lines that are not ASCII, about EVIDENCE bytes of them."""
    size = 0
    for line in iter(partial(file.readline, EVIDENCE), b""):
        if not line.isascii():
            yield line
            size += len(line)
            if size > EVIDENCE:
                return


def _by_letters(raw: bytes, option: str) -> str:
    from charset_normalizer import from_bytes  # most files do without it

    found = from_bytes(raw, cp_isolation=list(CANDIDATES), threshold=0.4, enable_fallback=False)
    scores, texts = {}, {}
    for match in found:
        same = {match.encoding, *match.could_be_from_charset}
        encoding = next((candidate for candidate in CANDIDATES if candidate in same), match.encoding)
        text = raw.decode(encoding, "replace")
        scores[encoding] = match.coherence - 2 * match.chaos + _kana(text) - _odd_words(text)
        texts[encoding] = text
    if not scores:
        raise UserError(f"not UTF-8, and no other encoding fits; save it as UTF-8, or set {option}")
    best, *others = sorted(scores, key=lambda encoding: -scores[encoding])
    close = [other for other in others if scores[best] - scores[other] < MARGIN]
    if scores[best] >= 0 and _has_evidence(texts[best], latin=best in LATIN):
        latin = [each for each in LATIN if best in LATIN and scores.get(each, -9) > scores[best] - LATIN_MARGIN]
        if not close and len(latin) <= 1 and best not in LATIN[1:]:
            return best
        if set(close) <= set(latin) and (fitting := _by_alphabet({each: texts[each] for each in latin})):
            return fitting
        close += latin
        if "cp1252" in (best, *close) and len(raw.translate(None, ASCII)) < FEW * len(raw):
            return "cp1252"
    shown = " or ".join(_excerpts(raw, best, *(others or [each for each in LATIN if each != best])[:1]))
    raise UserError(f"not UTF-8; it may be {shown}; set {option} to the one that looks right")


def _by_alphabet(texts: dict[str, str]) -> str:
    """Return the only one of some encodings in which the letters beyond ASCII are those of one language, '' if none."""
    fitting: dict[str, str] = {}
    for encoding, text in texts.items():
        letters = [letter for letter in text.lower() if letter.isalpha() and not letter.isascii()]
        shares = (sum(letter in alphabet for letter in letters) / max(len(letters), 1) for alphabet in ALPHABETS)
        if not letters or max(shares) >= OF_ONE_LANGUAGE:
            fitting.setdefault("".join(letters), encoding)
    return next(iter(fitting.values())) if len(fitting) == 1 else ""


def _looks_right(text: str) -> bool:
    return _odd_words(text) < FEW_ODD and (_has_evidence(text, latin=True) or _has_evidence(text, latin=False))


def _has_evidence(text: str, latin: bool) -> bool:
    """Tell whether a text has enough letters beyond ASCII; in a Latin encoding, letters among them that are ASCII."""
    words = {word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()}
    letters = sum(len(word) for word in words)
    foreign = [letter for word in words for letter in word if not letter.isascii()]
    accents = len(foreign)
    if latin:
        return accents <= MOST_ACCENTS * letters
    enough = FEWER_LETTERS if _kana(text) > MUCH_KANA else ENOUGH_LETTERS
    return accents >= enough and len(set(foreign)) >= FEWER_LETTERS


def _odd_words(text: str) -> float:
    """The share of words beyond ASCII that no language has: with several scripts, or with an ODD place."""
    words = [word for word in re.findall(r"\S+", text) if not word.isascii()]
    odd = 0
    for word in words:
        scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in word} & SCRIPTS
        odd += len(scripts) > 1 or ODD.search(word) is not None or any(map(_goes_up, word, word[1:]))
    return odd / max(len(words), 1)


def _goes_up(letter: str, following: str) -> bool:
    return letter.islower() and following.isupper()


def _kana(text: str) -> float:
    """The share of kana among the characters beyond ASCII: only Japanese in its own encoding has many."""
    foreign = [sign for sign in text if not sign.isascii()]
    return sum("\u3040" <= sign <= "\u30ff" for sign in foreign) / max(len(foreign), 1)


def _excerpts(raw: bytes, *encodings: str) -> Iterator[str]:
    """Show the place where two encodings first differ, in each of them."""
    texts = [raw.decode(encoding, "replace") for encoding in encodings]
    place = next((place for place, signs in enumerate(zip(*texts, strict=False)) if len(set(signs)) > 1), 0)
    for encoding, text in zip(encodings, texts, strict=True):
        around = " ".join(text[max(0, place - SHOWN // 2) : place + SHOWN // 2].split())
        yield f"{encoding} ({''.join(sign if sign.isprintable() else chr(0xFFFD) for sign in around)!r})"
