# SPDX-License-Identifier: Apache-2.0
"""Whether the HDF5 library comes back from a file, tried in another process.

Damage among texts and rows of variable length makes the library (``H5HG`` of HDF5 2.0) turn for
ever inside one call, or ends the process. Neither a signal's handler nor Ctrl-C gets a word in
there, so a process that may be lost looks first.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
from threading import Lock

from cosmos_policy_ros.types import ConfigError

LIMIT_S = 2  # [s] of the processor for a piece of a file: a disk may take as long as it likes
# Prints a line when it is ready, one for every piece that it has read, and an empty one at the end
# of a file. What fails with an error will fail again, and be told, where the file is read; what
# lies behind it is tried all the same. Nothing comes from the folder in which a person works.
PROGRAM = f"""
import sys
sys.path[:] = filter(None, sys.path)
from contextlib import suppress
import json, resource, time
import h5py
ROWS = 64  # of a piece

def piece(name):
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(time.process_time()) + 1 + {LIMIT_S}  # whole seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    print(json.dumps(name)[1:-1], flush=True)

def look(name, item):
    for key in item.attrs:
        with suppress(Exception):
            item.attrs[key]
        piece(f'{{name}}/{{key}}')
    if isinstance(item, h5py.Dataset) and h5py.check_vlen_dtype(item.dtype) is not None:
        for at in range(0, len(item) if item.shape else 1, ROWS):
            with suppress(Exception):
                item[at : at + ROWS] if item.shape else item[()]
            piece(name)
    piece(name or '/')

piece('ready')
for line in sys.stdin:
    with suppress(Exception), h5py.File(json.loads(line), 'r') as file:
        look('', file)
        file.visititems(look)
    piece('')
"""


class Hdf5Probe:
    """A process that reads files before this one does; started when it is first needed."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0  # process that started it: a fork of that has the same pipes
        self._lock = Lock()
        self._found: dict[Path, tuple[tuple[int, int], str]] = {}  # time and size, what is wrong

    def check(self, path: Path) -> None:
        """Try a file, once for as long as nobody writes to it.

        Raises:
            ConfigError: The library does not come back from it, or ends the process.
        """
        try:
            status = path.stat()
        except OSError:
            return  # said where it is read
        state = status.st_mtime_ns, status.st_size
        with self._lock:
            if path not in self._found or self._found[path][0] != state:
                self._found[path] = state, self._try(path)
            wrong = self._found[path][1]
        if wrong:
            msg = f'episode {path}: damaged: {wrong}; copy it anew from where it was recorded'
            raise ConfigError(msg)

    def _try(self, path: Path) -> str:
        """Return what is wrong with a file, empty if its end was reached."""
        process = self._running()
        if process is None or process.stdin is None or process.stdout is None:
            return ''
        place, line = 'its beginning', ''
        try:
            process.stdin.write(json.dumps(str(path.resolve())) + '\n')
            process.stdin.flush()
            while (line := process.stdout.readline()) not in ('', '\n'):
                place = line.strip()
        except BrokenPipeError:
            return ''  # somebody has just ended it: this file is read untried, the next is not
        finally:
            if line != '\n':  # it has ended, or this was broken off: what it says next is too late
                self._end()
        if line:
            return ''
        turns = process.returncode == -signal.SIGXCPU
        what = 'does not come back from' if turns else 'ends the process at'
        return f'the HDF5 library {what} what follows {place}'

    def _running(self) -> subprocess.Popen[str] | None:
        """Return a process that listens, or None where h5py cannot be had in another one."""
        if self._process is not None and self._owner == os.getpid():
            if self._process.poll() is None:
                return self._process
            self._end()  # between two files, as by a system without memory
        try:
            self._process = subprocess.Popen(
                [sys.executable, '-c', PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # Ctrl-C is for this process, which may go on reading
            )
        except OSError:
            return None
        self._owner = os.getpid()
        assert self._process.stdout is not None
        if self._process.stdout.readline() != 'ready\n':
            self._end()
        return self._process

    def _end(self) -> None:
        """Let the process go, and kill it if it still runs."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.communicate()
