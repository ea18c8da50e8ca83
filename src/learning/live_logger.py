"""dvclive's curves, in the folder that the stage declares."""

from pathlib import Path

from dvclive import Live

from src.learning.training import Epoch


class LiveLogger(Live):  # type: ignore[misc]
    """A Live that writes the curves to <folder>/metrics/**/*.tsv and the last epoch's figures to `summary`.

    The stage replaces that summary by the best epoch's figures.
    """

    def __init__(self, folder: Path, summary: Path) -> None:
        self._summary_file = str(summary)
        super().__init__(str(folder), dvcyaml=False, save_dvc_exp=False)

    @property
    def metrics_file(self) -> str:
        """Where dvclive writes the figures of the last epoch."""
        return self._summary_file

    @property
    def plots_dir(self) -> str:
        """Where dvclive puts its curves: here, not in a folder `plots` below."""
        return str(self.dir)

    def log_epoch(self, epoch: Epoch) -> None:
        """Add an epoch to the curves, and a line to what the user sees."""
        self.step = epoch.number
        for name, value in epoch.figures.items():
            self.log_metric(name, value)
        print(f"{Path(self.dir).name}: {epoch}", flush=True)
