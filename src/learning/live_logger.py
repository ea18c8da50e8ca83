"""Write dvclive's curves to the folder that the stage declares."""

from pathlib import Path

from dvclive import Live

from src.learning.training import Epoch


class LiveLogger(Live):  # type: ignore[misc]
    """A Live that writes the curves to <folder>/metrics/**/*.tsv and the metrics of the last epoch to `summary`.

    The stage then replaces the summary by the metrics of the best epoch.
    """

    def __init__(self, folder: Path, summary: Path) -> None:
        self._summary_file = str(summary)
        super().__init__(str(folder), dvcyaml=False, save_dvc_exp=False)

    @property
    def metrics_file(self) -> str:
        """Where dvclive writes the metrics of the last epoch."""
        return self._summary_file

    @property
    def plots_dir(self) -> str:
        """Where dvclive writes the curves: the folder itself, not its subfolder `plots`."""
        return str(self.dir)

    def log_epoch(self, epoch: Epoch) -> None:
        """Add an epoch to the curves and print its metrics."""
        self.step = epoch.number
        for name, value in epoch.metrics.items():
            self.log_metric(name, value)
        print(f"{Path(self.dir).name}: {epoch}", flush=True)
