"""Run a DVC command that ends when another process ends: python -m commands.child PID exp run ...

Without this, an experiment would outlive a killed sweep, and the next sweep would run it a second time.
"""

import sys
import threading

import psutil
from dvc.cli import main

from stages import end_with

if __name__ == "__main__":
    threading.Thread(target=end_with, args=(psutil.Process(int(sys.argv[1])),), daemon=True).start()
    sys.exit(main(sys.argv[2:]))
