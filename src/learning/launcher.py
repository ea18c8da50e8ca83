"""Start the processes that share a training on this machine, and start them again when one is killed."""

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
    """Run this program as so many ranks, by what torchrun is made of, and wait for their end.

    torchrun itself would also start those again that ended with an error which the next attempt meets too, and put a
    traceback of its own behind it.

    Raises:
        UserError: processes were killed again and again.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    for attempt in range(RESTARTS + 1):
        if attempt:
            print(f"a process was killed; all start again, the {attempt}. time of {RESTARTS}", flush=True)
        try:
            with tempfile.TemporaryDirectory() as logs:
                _launch_once(processes, logs)
            return
        except SignalException:
            raise KeyboardInterrupt from None
        except ChildFailedError as error:
            codes = {failure.exitcode for failure in error.failures.values()}
            if codes <= {1, -signal.SIGTERM} and 1 in codes:  # one has said why; the others were told to end
                sys.exit(1)
    raise UserError(
        f"a process of this training was killed {RESTARTS + 1} times, by the system where memory is short; lower "
        "train.processes or train.batch_size, or give the same command again: it goes on from the last checkpoint"
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
