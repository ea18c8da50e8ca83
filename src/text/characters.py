"""Give the characters of a text one form, and remove what is not text: entities, links, e-mail addresses and tags."""

import html
import html.entities
import re

from src.core.normalisation import nfkc

MOST_CHARACTERS = 10_000
"""Characters of a text after which it is cut."""
MOST_UNESCAPED = 3
"""How often entities are unescaped: an export may escape a text that is already escaped (&amp;lt;3)."""
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
LITERAL_BREAKS = re.compile(r"(?<!\\)\\++[nrt]")
"""Line ends and tabs that an export wrote as a backslash and a letter."""
TABLE = str.maketrans(
    # NFKC turns an acute accent between two letters into a space and a mark, so apostrophes come first.
    dict.fromkeys("\u2018\u2019\u201b\u02bc\u00b4\u2032\uff07\u05f3", "'")
    | {"\u0149": "'n", "\u05f4": '"', "\u061f": "?", "\u200b": " "}
    # Soft hyphen, marks of the writing direction, word joiner, byte order mark, variation selectors, skin tones.
    | dict.fromkeys(
        map(chr, [0xAD, 0x61C, *range(0x200E, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF]),
    )
    # Fillers of the Hangul alphabet, which are invisible, and marks that Armenian sets on a vowel inside a word.
    | dict.fromkeys("\u115f\u1160\u3164\uffa0\u055b\u055c\u055e")
    | dict.fromkeys(map(chr, [*range(0xFE00, 0xFE10), *range(0x1F3FB, 0x1F400), *range(0xE0100, 0xE01F0)]))
)
ELEMENTS = """
a abbr acronym address area article aside audio b base bdi bdo big blockquote body br button canvas caption center cite
code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset figcaption figure font footer
form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd label legend li link main
map mark marquee menu meta meter nav nobr noscript object ol optgroup option output p param picture pre progress q rp rt
ruby s samp script section select small source span strike strong style sub summary sup svg table tbody td template
textarea tfoot th thead time title tr track tt u ul var video wbr
"""
ATTRIBUTE = r"""\s+[a-z_:][\w:.-]*+\s*+=\s*+(?:"[^"<>]*+"|'[^'<>]*+'|[^\s"'<>]++)"""
# Links, e-mail addresses, and HTML tags and comments of a folded text.
MARKUP = re.compile(
    # A link ends with its ASCII characters, since words of other scripts are often glued to it.
    r"(?:https?|ftp)://[a-z0-9._~%:@-]*+(?:[/?#][a-z0-9._~%:@/?#&=+$-]*+)?"
    r"|www\.[a-z0-9-]++\.[a-z0-9._-]++(?:[/?#][a-z0-9._~%:@/?#&=+$-]*+)?"
    r"|[a-z0-9.+_-]{1,64}@[a-z0-9-]{1,63}\.[a-z0-9.-]{1,63}"
    rf"|</?(?:{'|'.join(ELEMENTS.split())})(?:{ATTRIBUTE})*+\s*+/?>|<!--[^<>]{{0,500}}-->|<!doctype[^<>]{{0,100}}>"
)


def unescape(text: str, entities: bool) -> str:
    """Replace line ends that an export wrote as a backslash and a letter and, if `entities`, HTML entities.

    Browsers also accept some entities without a semicolon; in reviews, `slow&not working` is no entity.
    """
    if entities:
        for _ in range(MOST_UNESCAPED):
            if (unescaped := ENTITY.sub(_character, text)) == text:
                break
            text = unescaped
    return LITERAL_BREAKS.sub(" ", text)


def _character(entity: re.Match[str]) -> str:
    # html.unescape alone would also replace the beginning of an unknown name: &notworking; is not ¬working;
    known = entity[0][1] == "#" or entity[0][1:] in html.entities.html5
    return html.unescape(entity[0]) if known else entity[0]


def fold(text: str, normalise: bool) -> str:
    """Fold case, give apostrophes one form and remove invisible characters; if `normalise`, also apply NFKC.

    Source: Unicode Standard Annex 15 (NFKC) and the Unicode Standard, section 3.13 (case folding).
    """
    if text.isascii():
        return text.lower().replace("`", "'")
    text = text.translate(TABLE)
    if normalise:
        text = nfkc(text)[:MOST_CHARACTERS]  # one character can become eighteen
    # The Turkish İ becomes an i with a dot above.
    text = text.casefold().replace("i\u0307", "i").replace("`", "'").replace("\u2044", "/")
    return nfkc(text) if normalise else text
