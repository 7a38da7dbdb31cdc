# SPDX-License-Identifier: Apache-2.0
"""Worker processes end with whoever started them."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
import ctypes
import errno
from multiprocessing import synchronize
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from cosmos_policy_ros.types import ConfigError
from cosmos_policy_ros.worker_pool import open_pool
import pytest

PARENT = """
import os, time
from cosmos_policy_ros.worker_pool import open_pool
if __name__ == '__main__':
    with open_pool(2) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        for _ in range(2):
            pool.submit(time.sleep, 600.0)
"""
LONG_S = 30.0


def runs(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


@pytest.mark.parametrize('number', [errno.EROFS, errno.EACCES, errno.ENOENT, errno.ENOSPC])
def test_no_shared_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """As in a container whose /dev/shm is read-only, missing or full."""

    def refuse(*_: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(synchronize.SemLock, '__init__', refuse)
    with pytest.raises(ConfigError, match=r'/dev/shm cannot be written .*; give the container'):
        open_pool(1)


def test_a_worker_that_crashes_says_where(capfd: pytest.CaptureFixture[str]) -> None:
    """Else it would look as if memory had been full."""
    with pytest.raises(BrokenProcessPool), open_pool(1) as pool:
        pool.submit(ctypes.string_at, 0).result()
    assert 'in string_at' in capfd.readouterr().err


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    """Else it keeps its memory, and records on into a folder that the next run writes to."""
    script = tmp_path / 'parent.py'
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert runs(worker)
        os.kill(parent.pid, number)
    end_s = time.monotonic() + LONG_S
    while runs(worker):
        assert time.monotonic() < end_s
        time.sleep(0.05)
