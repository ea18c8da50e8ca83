"""The stages of the pipeline, each a script: python -m stages.<name>."""

import ctypes
import signal
import sys

SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>

# A killed `dvc` must leave no orphan at work. It is said here, before a stage's imports, which take seconds.
if sys.platform == "linux" and sys.argv[0] == "-m":
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
