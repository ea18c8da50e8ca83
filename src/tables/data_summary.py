"""Count what prepare used, rejected and found, for metrics/data.json and the messages."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from src.core.errors import excerpt
from src.core.schema import SPLITS, STARS
from src.tables.ratings import describe_scale
from src.tables.readers import Table
from src.tables.row_parser import BAD_RATING, NO_TEXT
from src.tables.splitting import DUPLICATE_REASON, GROUPS, RejectedRow

NOT_REJECTED = (DUPLICATE_REASON, NO_TEXT)
"""Reasons of rows that do not count as rejected."""
FEW_BAD_RATINGS = 0.05
"""Share of ratings of another scale below which single ones are rejected, not the table."""
UNSURE = "unsure"
MOST_VALUES = 200
"""Different ratings that could not be read and are kept."""
LONGEST_VALUE = 40


class DataSummary:
    """Counts over the rows of a table, used and rejected."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.unread_ratings: Counter[str] = Counter()
        self.examples: list[RejectedRow] = []
        self.stars: Counter[int] = Counter()
        self.lengths: Counter[int] = Counter()
        self.splits: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.label_conflicts = 0
        self.encodings: Counter[str] = Counter()
        self.separators: Counter[str] = Counter()
        self.repaired: Counter[str] = Counter()
        self.multiline: Counter[str] = Counter()
        self.longest = 0

    def add_used(self, stars: np.ndarray, splits: np.ndarray, words: np.ndarray, duplicate_texts: np.ndarray) -> None:
        """Count used rows: their stars, the index of their split, their words, their status (resolve_duplicates)."""
        for counts, values in ((self.stars, stars), (self.lengths, words)):
            counts.update(dict(zip(*(each.tolist() for each in np.unique(values, return_counts=True)), strict=True)))
        self.splits.update(dict(zip(GROUPS, np.bincount(splits, minlength=len(GROUPS)).tolist(), strict=True)))
        # The second rating of a text adds the first review, too.
        self.label_conflicts += int((duplicate_texts > 0).sum() + (duplicate_texts == 1).sum())

    def add_languages(self, languages: Iterable[str | None]) -> None:
        """Count the languages that were found for some reviews, None where it is not sure."""
        self.languages.update(language or UNSURE for language in languages)

    def add_rejected(self, row: RejectedRow) -> None:
        """Count a row that is not used."""
        self.reasons[row.reason.partition(":")[0]] += 1
        if row.reason not in NOT_REJECTED and len(self.examples) < 3:
            self.examples.append(row)
        if row.reason == BAD_RATING and len(self.unread_ratings) < MOST_VALUES:
            self.unread_ratings[str(row.rating).strip()[:LONGEST_VALUE]] += 1

    def add_table(self, table: Table) -> None:
        """Count how a file was read; call it after the last row, when its findings are complete."""
        self.encodings.update([table.encoding] if table.encoding else [])
        self.separators.update([table.separator] if table.separator else [])
        self.repaired.update(table.findings.repairs)
        self.multiline["rows"] += table.findings.multiline
        self.longest = max(self.longest, table.findings.longest[0])

    def __add__(self, other: "DataSummary") -> "DataSummary":
        """Return the counts over the rows of both, where those of `other` come later."""
        both = DataSummary()
        for name, value in vars(both).items():
            if isinstance(value, Counter):
                value.update(getattr(self, name))
                value.update(getattr(other, name))
        both.examples = (self.examples + other.examples)[:3]
        both.label_conflicts = self.label_conflicts + other.label_conflicts
        both.longest = max(self.longest, other.longest)
        return both

    @property
    def rejected(self) -> dict[str, int]:
        """The number of rejected rows by reason; duplicates and rows without text are counted apart."""
        return {reason: count for reason, count in self.reasons.items() if reason not in NOT_REJECTED and count}

    @property
    def rejected_share(self) -> float:
        """The share of all rows with a text that were rejected."""
        read = self.stars.total() + self.reasons.total() - self.reasons[NO_TEXT]
        return sum(self.rejected.values()) / read if read else 0.0

    def describe_rejected(self) -> str:
        """Describe in one line how many rows were rejected and why, with the first three as examples."""
        reasons = ", ".join(f"{reason}: {count}" for reason, count in self.rejected.items())
        examples = "; ".join(
            f"row {row.number}: rating {_shown(row.rating)}, text {_shown(row.text)} ({row.reason})"
            for row in self.examples
        )
        return f"{self.rejected_share:.0%} of the rows are rejected ({reasons}), for example {examples}"

    @property
    def rejected_rows(self) -> int:
        """The number of rejected rows."""
        return sum(self.rejected.values())

    @property
    def language_shares(self) -> dict[str, float]:
        """The share of each language among the reviews whose language was looked for, most frequent first."""
        return {name: round(count / self.languages.total(), 4) for name, count in self.languages.most_common()}

    @property
    def other_scale(self) -> str | None:
        """Which other scale the ratings seem to have, None if they are 1 to 5 stars."""
        if self.unread_ratings.total() < FEW_BAD_RATINGS * self.stars.total() and self.stars[5]:
            return None
        return describe_scale(self.unread_ratings, self.stars)

    def summary(self) -> dict[str, Any]:
        """Return the content of metrics/data.json, except for the result of count_leakage.

        `label_conflicts` counts the used reviews whose text also appears with another rating. `imbalance` is the size
        of the largest class divided by that of the smallest.
        """
        used = self.stars.total()
        present = [count for count in self.stars.values() if count]
        lengths = np.repeat(list(self.lengths), list(self.lengths.values())) if used else np.zeros(1)
        return {
            "rows": {
                "read": used + self.reasons.total(),
                "used": used,
                "rejected": sum(self.rejected.values()),
                "duplicates": self.reasons[DUPLICATE_REASON],
                "textless": self.reasons[NO_TEXT],
                "label_conflicts": self.label_conflicts,
            },
            "rejected": self.rejected,
            "splits": {split: self.splits[split] for split in SPLITS},
            "stars": {str(star): self.stars[star] for star in STARS},
            "imbalance": round(max(present) / min(present), 2) if used else 0.0,
            "words": {
                "median": int(np.median(lengths)),
                "p95": int(np.quantile(lengths, 0.95, method="lower")),
                "max": int(lengths.max()),
            },
            "languages": self.language_shares,
            "encoding": ", ".join(sorted(self.encodings)) or None,
            "separator": ", ".join(sorted(self.separators)) or None,
            "repaired": dict(self.repaired),
            "multiline": {"rows": self.multiline["rows"], "longest": self.longest},
        }

    def extra_summary(self) -> dict[str, Any]:
        """Return how many extra reviews were read and used, and why the others were not."""
        used, not_used = self.stars.total(), self.reasons.total()
        return {"read": used + not_used, "used": used, "rejected": not_used, "reasons": dict(self.reasons)}


def _shown(cell: str | None) -> str:
    return "missing" if cell is None else repr(excerpt(cell, 40))
