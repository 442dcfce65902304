"""Runs a server until its standard input is closed.

usage: run.py COMMAND [ARGUMENT...]

The process that starts it keeps the other end of that pipe. The kernel closes the pipe however that
process ends, so no server outlives a test run that was killed.
"""

import subprocess
import sys
import threading

server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)


def end_with_owner():
    sys.stdin.buffer.read()
    # All its data is in memory, so it needs no orderly shutdown.
    server.kill()


threading.Thread(target=end_with_owner, daemon=True).start()
sys.exit(server.wait())
