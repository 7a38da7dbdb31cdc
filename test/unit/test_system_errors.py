# SPDX-License-Identifier: Apache-2.0
"""What the system refuses is one line of a command: what came, and what to do."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
import errno
import os
from pathlib import Path
import re
import subprocess
import sys

from command_line import refused
from cosmos_policy_ros.align import tick_grid
from cosmos_policy_ros.system_errors import explain
from cosmos_policy_ros.worker_pool import open_pool
import pytest
from safetensors.numpy import save_file

COMMAND = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()']


def run_limited(limit: str, *words: str) -> tuple[int, str]:
    """Run a command under a limit of the shell; return its exit status and what it complained."""
    shell = ['bash', '-c', f'ulimit {limit}; exec "$@"', 'bash', *COMMAND, *words]
    done = subprocess.run(shell, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (OSError(errno.EROFS, 'x', 'a/b'), 'a/b: Read-only file system; choose another place'),
        (OSError(errno.ENOSPC, 'x'), 'No space left on device; choose another disk'),
        (OSError(errno.EMFILE, 'x'), 'ulimit -n'),
        (OSError(errno.ENOMEM, 'x'), 'not enough memory'),
        (MemoryError(), 'not enough memory'),
        (ImportError('a.so: failed to map segment from shared object'), 'not enough memory'),
        (RuntimeError("can't start new thread"), 'not enough memory'),
        (BrokenProcessPool(), 'a worker process ended'),
        (OSError(errno.ENOENT, 'No usable temporary directory found in []'), 'set TMPDIR'),
    ],
)
def test_what_the_system_refuses_is_a_line(error: Exception, line: str) -> None:
    """With what can be done about it."""
    assert line in explain(error)


def test_who_asks_for_too_much_by_mistake_can_be_found() -> None:
    """By the error and its place in this package; a file that is named says enough."""
    with pytest.raises(MemoryError) as caught:
        tick_grid(0, 10**18, 1e6)
    line = explain(caught.value)
    assert 'Unable to allocate' in line
    assert re.search(r', align\.py:\d+\]$', line)
    assert '\n' not in explain(MemoryError('one\ntwo'))
    assert not explain(OSError(errno.ENOSPC, 'x', 'a/b')).endswith(']')


@pytest.mark.parametrize(
    'error',
    [
        FileNotFoundError(errno.ENOENT, 'x', 'a'),
        PermissionError(errno.EACCES, 'x'),  # of a port, or of scheduling
        ValueError('x'),
        OSError('x'),
    ],
)
def test_mistakes_of_a_program_are_none_of_the_system(error: Exception) -> None:
    """They keep their trace."""
    assert not explain(error)


def test_an_error_of_a_library_in_rust_is_known(tmp_path: Path) -> None:
    """Safetensors raises one of its own, of a full disk too."""
    with pytest.raises(Exception, match='os error') as caught:
        save_file({}, tmp_path / 'none' / 'x.safetensors')
    assert not explain(caught.value)  # there is no such folder
    caught.value.args = (str(caught.value).replace('os error 2', f'os error {errno.ENOSPC}'),)
    assert 'No space left' in explain(caught.value)


def test_a_worker_that_the_system_ended_is_named() -> None:
    """As it does where memory is full."""
    with pytest.raises(BrokenProcessPool) as caught, open_pool(1) as pool:
        pool.submit(os._exit, 9).result()
    assert '--workers' in explain(caught.value)


def test_a_folder_that_cannot_be_made_ends_a_command_with_one_line(tmp_path: Path) -> None:
    """Nobody, root included, makes a folder in /sys."""
    line = refused('demonstrate', '--episodes', '1', '--out', '/sys/none')
    assert '/sys/none' in line
    assert 'choose another place' in line


def test_little_memory_is_one_line() -> None:
    """What a command loads does not fit then."""
    status, text = run_limited('-v 500000', 'doctor', '--help')
    assert status == 1
    assert 'there is not enough memory' in text.splitlines()[-1]
    assert '0.5 GB (ulimit -v)' in text
    assert 'Traceback' not in text
