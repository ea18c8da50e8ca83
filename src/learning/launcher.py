"""Start the processes of a distributed training on this machine; restart them when one is killed."""

import logging
import signal
import sys
import tempfile

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from src.core.errors import UserError

RESTARTS = 3


def launch(processes: int) -> None:
    """Run this program in several processes, with the functions behind torchrun, and wait until they end.

    torchrun itself would also restart after errors that a restart cannot fix, and would print a traceback of its own.

    Raises:
        UserError: processes were killed in each of the attempts.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    for attempt in range(RESTARTS + 1):
        if attempt:
            print(f"a worker process was killed; restarting all workers (restart {attempt} of {RESTARTS})", flush=True)
        try:
            with tempfile.TemporaryDirectory() as logs:
                _launch_once(processes, logs)
            return
        except SignalException:
            raise KeyboardInterrupt from None
        except ChildFailedError as error:
            codes = {failure.exitcode for failure in error.failures.values()}
            if codes <= {1, -signal.SIGTERM} and 1 in codes:  # one printed its error; torch ended the others
                sys.exit(1)
    raise UserError(
        f"worker processes were killed in {RESTARTS + 1} attempts, maybe for lack of memory; lower train.processes "
        "or train.batch_size, or run the same command again to continue from the last checkpoint"
    )


def _launch_once(processes: int, logs: str) -> None:
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        logs_specs=DefaultLogsSpecs(log_dir=logs),
        run_id="training",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
    )
    elastic_launch(config, sys.executable)(*sys.orig_argv[1:])
