"""The CPU kernels that the numeric libraries choose, which decide the last digits of what they compute."""

import os
import platform
import subprocess
import sys

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

    The libraries read the environment once, when they are imported, hence the new start. Other kinds of CPU go on as
    they are.
    """
    if PORTABLE.items() <= os.environ.items() or platform.machine() not in ("x86_64", "AMD64"):
        return
    sys.stdout.flush()
    if sys.platform == "win32":  # where exec would return to `dvc` before the work is done
        sys.exit(subprocess.run(sys.orig_argv, env=os.environ | PORTABLE, check=False).returncode)
    os.execve(sys.executable, sys.orig_argv, os.environ | PORTABLE)
