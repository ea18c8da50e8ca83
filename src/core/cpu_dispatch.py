"""The CPU kernels that the numeric libraries choose, which decide the last digits of what they compute."""

import os
import platform
from pathlib import Path

from src.core.errors import run
from src.core.params import read_params

# What every x86-64 CPU with AVX2 has, Intel and AMD alike. MKL's own AVX2 mode is left out: the two differ there.
PORTABLE = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}


def choose_kernels(module: str, params: Path) -> None:
    """If `train.portable` is set, make the numeric libraries use kernels that give the same bytes on every AVX2 CPU.

    The libraries read the environment once, when they are imported: call this before, with the `__name__` of the
    module. It does nothing for a module that was imported, so that tests keep the kernels of their own process, nor on
    other kinds of CPU than x86-64.
    """
    if module == "__main__":
        run(lambda: _set_environment(read_params(params).train.portable))


def _set_environment(portable: bool) -> None:
    if portable and platform.machine() in ("x86_64", "AMD64"):
        os.environ.update(PORTABLE)
