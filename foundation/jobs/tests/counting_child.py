"""The child of test.counting: counts aloud in JSON lines, ends as it is told."""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def main() -> None:
    to, pause_s, end, log = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4]
    if end == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("hello, this line is no JSON")
    for done in range(1, to + 1):
        if log:
            with open(log, "a") as out:
                out.write(f"count {done} {time.time():.3f} {os.getpid()}\n")
        print(
            json.dumps({"done": done, "total": to, "step": f"epoch {done}", "data": {"last": done}}),
            flush=True,
        )
        time.sleep(pause_s)
    if end == "error":
        print(
            "Traceback (most recent call last):\n  …\nValueError: the loss is not a number", file=sys.stderr
        )
        sys.exit(3)
    if end == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    print(json.dumps({"data": {"finished": True}}), flush=True)


if __name__ == "__main__":
    main()
