"""The CPU kernels that the numeric libraries choose, which decide the last digits of what they compute."""

import os
import sys

from src.errors import UserError

# What every x86-64 CPU with AVX2 has, Intel and AMD alike. MKL's own AVX2 mode is left out: the two differ there.
PORTABLE = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}


def use_portable_kernels() -> None:
    """Start this process again with kernels that give the same bytes on every x86-64 CPU with AVX2.

    The libraries read the environment only once, when they are imported, hence the new start.

    Raises:
        UserError: this system cannot put a process in the place of another.
    """
    if PORTABLE.items() <= os.environ.items():
        return
    if sys.platform == "win32":
        raise UserError("train.portable: not on Windows; set it to false")
    sys.stdout.flush()
    os.execve(sys.executable, sys.orig_argv, os.environ | PORTABLE)
