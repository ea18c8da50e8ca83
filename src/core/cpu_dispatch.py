"""Choose the CPU kernels of the numeric libraries: they decide the last digits of every result."""

import os
import platform
from pathlib import Path

from src.core.errors import run
from src.core.params import read_params

# Supported by every x86-64 CPU with AVX2, Intel or AMD. MKL_CBWR is not AVX2: Intel and AMD differ in that mode.
PORTABLE = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}


def choose_kernels(module: str, params: Path) -> None:
    """If `train.portable` is set, select kernels that produce the same bytes on every AVX2 CPU.

    The libraries read the environment once, when they are imported. Call this first, with the `__name__` of the calling
    module. It does nothing if that module was imported, so that tests keep the kernels of their process, and nothing on
    CPUs other than x86-64.
    """
    if module == "__main__":
        run(lambda: _set_environment(read_params(params).train.portable))


def _set_environment(portable: bool) -> None:
    if portable and platform.machine() in ("x86_64", "AMD64"):
        os.environ.update(PORTABLE)
