"""Entry of a supervised child: `python -m foundation.jobs.child <parent pid> <module> <arguments>`.

Runs the module as `python -m` would, and ends when the parent does: nobody else would read its answer.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import runpy
import signal
import sys
import threading
import time

GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1


def _die_with_parent(parent: int) -> None:
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    # For systems that do not tell, and for a child that takes too long over its SIGTERM.
    while os.getppid() == parent:
        time.sleep(0.5)
    time.sleep(GRACE_S)
    os._exit(1)


def main() -> None:
    """Run the module named on the command line."""
    parent, module = int(sys.argv[1]), sys.argv[2]
    _die_with_parent(parent)
    if os.getppid() != parent:
        sys.exit(1)
    sys.argv = [module, *sys.argv[3:]]
    sys.path.insert(0, str(os.getcwd()))  # noqa: PTH109 - what `python -m` does
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
