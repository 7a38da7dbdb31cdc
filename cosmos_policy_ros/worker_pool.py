# SPDX-License-Identifier: Apache-2.0
"""Worker processes that end with whoever started them, however that one ends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
import errno
import faulthandler
import multiprocessing
import os
import sys
import threading
from typing import Any

from cosmos_policy_ros.types import ConfigError


def open_pool(
    workers: int, initializer: Callable[..., None] | None = None, *args: Any
) -> ProcessPoolExecutor:
    """Return a pool of new processes.

    Those of a bare ``ProcessPoolExecutor`` stay for ever, with all that they have loaded, when
    their parent is terminated or killed.

    Args:
        workers: Number of processes.
        initializer: Called once in every process before its first job; it can be pickled.
        args: Of that function.

    Raises:
        ConfigError: There is no shared memory for what the processes wait on.
    """
    # spawn: neither an EGL context nor torch's threads survive a fork
    context = multiprocessing.get_context('spawn')
    try:
        return ProcessPoolExecutor(workers, context, _begin, (initializer, args))
    except OSError as error:
        if error.errno == errno.EMFILE or error.filename is not None:
            raise
        msg = f'no worker process can be started: /dev/shm cannot be written ({error.strerror}); '
        msg += 'give the container shared memory: docker run --shm-size=1g'
        raise ConfigError(msg) from error


def _begin(initializer: Callable[..., None] | None, args: tuple[Any, ...]) -> None:
    if sys.stderr is not None:  # as of a parent that has closed it
        faulthandler.enable()  # a crash says where
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*args)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this runs in a worker
    parent.join()
    os._exit(1)  # whatever the other threads do
