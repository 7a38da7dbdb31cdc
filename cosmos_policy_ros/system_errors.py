# SPDX-License-Identifier: Apache-2.0
"""What the system refuses a program, as room on a disk, files or memory, in one line for a person.

Attributes:
    FULL: Error numbers of a disk that takes no more.
    LOCKED: Error numbers of what may not be read or written.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
import errno
import os
from pathlib import Path
import re
import resource
import traceback

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # the last where a size is limited
LOCKED = {errno.EROFS, errno.EACCES, errno.EPERM}
NO_MEMORY = re.compile(  # in what libraries raise: numpy, torch, the loader of libraries, threads
    "failed to map segment|cannot allocate memory|can't allocate memory|can't start new thread",
    re.IGNORECASE,
)

NO_TEMPORARY = 'No usable temporary directory'  # of the FileNotFoundError of tempfile
TEMPORARY_ADVICE = 'set TMPDIR to one that can, on a disk with room'


def explain(error: BaseException) -> str:
    """Return what the system refused and what to do; empty where it is something else.

    Where no file tells what was asked for, the error and its place in this package stand behind
    it: a mistake of a program can ask for too much as well, and somebody has to find it.
    """
    line = _explain(error)
    if isinstance(error, BrokenExecutor) or getattr(error, 'filename', None) is not None:
        return line
    return line and line + _origin(error)


def _explain(error: BaseException) -> str:
    number = error_number(error)
    if NO_TEMPORARY in str(error):
        return f'no folder for temporary files can be written; {TEMPORARY_ADVICE}'
    if isinstance(error, BrokenExecutor):
        why = 'where nothing above says why, memory was full'
        return f'a worker process ended; {why}: {_memory_advice()}'
    if isinstance(error, MemoryError) or number == errno.ENOMEM or NO_MEMORY.search(str(error)):
        return f'there is not enough memory: {_memory_advice()}'
    if number == errno.EMFILE:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f'{limit} open files are all that this shell allows; raise it: ulimit -n 4096'
    named = error.filename if isinstance(error, OSError) else None
    if number not in FULL and (number not in LOCKED or named is None):  # as of a port
        return ''
    what = os.strerror(number) if named is None else f'{named}: {os.strerror(number)}'
    advice = 'another disk' if number in FULL else 'another place, or get the right to this one'
    return f'{what}; choose {advice}'


def error_number(error: BaseException) -> int:
    """Return the number of an error of the system, 0 of others.

    Libraries written in Rust, as safetensors, raise errors of their own and have it in the text.
    """
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r'\(os error (\d+)\)', str(error))
    return int(found[1]) if found else 0


def _origin(error: BaseException) -> str:
    """Return the first line of an error in brackets, with the line of this package that met it."""
    text = str(error).partition('\n')[0]
    words = f'{type(error).__name__}: {text}' if text else type(error).__name__
    package = Path(__file__).parent
    places = ((Path(f.f_code.co_filename), n) for f, n in traceback.walk_tb(error.__traceback__))
    ours = [f'{p.relative_to(package)}:{n}' for p, n in places if p.is_relative_to(package)]
    return f' [{words}{", " + ours[-1] if ours else ""}]'


def _memory_advice() -> str:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return 'close what else runs here, or let fewer processes run side by side (--workers)'
    return f'this shell allows a process {limit / 1e9:.1f} GB (ulimit -v); raise it, or unlimited'
