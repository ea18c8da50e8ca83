"""The CPU kernels that the numeric libraries choose, which decide the last digits of what they compute."""

import os
import platform

# What every x86-64 CPU with AVX2 has, Intel and AMD alike. MKL's own AVX2 mode is left out: the two differ there.
PORTABLE = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}


def choose_kernels(portable: bool) -> None:
    """Have the numeric libraries, if `portable`, choose kernels with the same bytes on every x86-64 CPU with AVX2.

    They read the environment once, when they are imported: call it before. Other kinds of CPU go on as they are.
    """
    if portable and platform.machine() in ("x86_64", "AMD64"):
        os.environ.update(PORTABLE)
