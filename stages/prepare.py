"""Read the table of reviews; keep, reject and count every row; split before anything is learnt."""

import csv
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from src.domain import SPLITS
from src.errors import UserError, run
from src.files import replacing, spreadsheet_safe, write_json
from src.params import read_params
from src.preparation import Census, Rejected, judge
from src.review_files import ReviewWriter
from src.sources import local_copy
from src.tables import read_table

OUTPUT = Path("data/prepare")
METRICS = Path("metrics/data.json")


def main() -> None:
    params = read_params(Path("params.yaml"))
    data, settings = params.data, params.prepare
    census = Census()
    with replacing(OUTPUT) as aside, ExitStack() as files:
        aside.mkdir()
        table = read_table(files.enter_context(local_copy(data.path, data)), data)
        writers = {split: files.enter_context(ReviewWriter(aside / f"{split}.parquet")) for split in SPLITS}
        rejects_file = (aside / "rejects.csv").open("w", encoding="utf-8", errors="replace", newline="")
        rejects = csv.writer(files.enter_context(rejects_file), quoting=csv.QUOTE_ALL, lineterminator="\n")
        rejects.writerow(["row", "reason", "rating", "text"])
        verdicts = judge(
            table.rows, settings.valid_share, settings.test_share, settings.salt, data.split_column is not None
        )
        for verdict in tqdm(verdicts, "prepare", unit=" rows", disable=None):
            census.add(verdict)
            if isinstance(verdict, Rejected):
                rejects.writerow(
                    [verdict.number, verdict.reason, *map(spreadsheet_safe, (verdict.rating, verdict.text))]
                )
            else:
                number, text, rating, split, truth, _, _, slices = verdict
                writers[split].add(number, text, rating, slices, truth)
        summary = census.summary() | {"encoding": table.encoding, "separator": table.separator}
        summary["mended"] = dict(table.oddities)
        if census.rejected_share > settings.max_rejected:
            raise UserError(f"{data.path}: {census.rejection()}; see data, or raise prepare.max_rejected")
        for split, count in summary["splits"].items():
            if not count:
                raise UserError(f"{data.path}: no usable review for the {split} split; reasons: {summary['rejected']}")
        if max(summary["stars"].values()) == summary["rows"]["used"]:
            raise UserError(f"{data.path}: all {summary['rows']['used']} reviews have the same stars: nothing to learn")
    write_json(METRICS, summary)
    rows = summary["rows"]
    print(
        f"prepare: {rows['read']} rows: {rows['used']} used, {rows['rejected']} rejected, {rows['repeats']} repeats; "
        f"{summary['splits']}"
    )


if __name__ == "__main__":
    run(main)
