"""Runs a command, and prints as JSON the cost of it and of the processes that it waited for.

usage: cost.py COMMAND [ARGUMENT...]

The command's own output goes to standard error. The cost is that of the whole process, from start to end.
"""

import json
import os
import subprocess
import sys
import time

KIBIBYTES_PER_MEBIBYTE = 1024


def main():
    started = time.monotonic()
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    _, status, usage = os.wait4(child.pid, 0)
    json.dump(
        {
            "exit_code": os.waitstatus_to_exitcode(status),
            "seconds": time.monotonic() - started,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            # Linux counts in KiB.
            "peak_rss_mb": usage.ru_maxrss / KIBIBYTES_PER_MEBIBYTE,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
