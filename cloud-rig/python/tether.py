"""Runs a program until standard input ends: tether.py PROGRAM [ARGUMENT ...]. However a test dies, its servers die with it."""

import os
import signal
import subprocess
import sys
import threading

# Its own group: what the program starts is stopped with it.
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)


def watch():
    while os.read(0, 1024):
        pass
    os.killpg(process.pid, signal.SIGKILL)


threading.Thread(target=watch, daemon=True).start()
status = process.wait()
sys.exit(status if status >= 0 else 128 - status)
