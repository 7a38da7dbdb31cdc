# SPDX-License-Identifier: Apache-2.0
"""Requests of a control loop to the operating system: scheduling, and memory that stays.

Every request may be refused, as on a machine without an ``rtprio`` or a ``memlock`` limit for this
user; the loop then runs under normal scheduling, later under load.
"""

from __future__ import annotations

from contextlib import suppress
import ctypes
import os
from pathlib import Path

DDS_PRIORITY = 45  # SCHED_FIFO, below the executor's 50, above simulated hardware's 40
LARGEST_BUFFER = 1 << 25  # [bytes] the most that malloc can be set to reuse


def request_realtime(priority: int) -> str:
    """Request real-time scheduling of this thread and return the scheduling that it has now.

    Args:
        priority: SCHED_FIFO priority, 1 to 99; 0 requests nothing.

    Returns:
        ``normal``, or ``fifo`` and the priority.
    """
    if priority:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except (PermissionError, AttributeError):  # AttributeError: not Linux
            return 'normal'
        return f'fifo {priority}'
    return 'normal'


def prioritise_dds_threads() -> None:
    """Request real-time scheduling of the threads of Fast DDS that carry messages.

    Whoever sends waits for locks that they hold, in its own process and, through shared memory, in
    those of its readers. One that had lost its processor to other work while it held a lock kept
    a control loop waiting for 0.7 s.
    """
    for thread in Path('/proc/self/task').iterdir():
        with suppress(OSError):  # it has ended, or this user may not
            if (thread / 'comm').read_text(encoding='utf-8').startswith('dds.'):
                priority = os.sched_param(DDS_PRIORITY)
                os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, priority)


def lock_memory() -> None:
    """Let this process keep its memory, since a page that has to be fetched makes a tick late.

    Buffers are reused instead of given back, and pages stay where the user's ``memlock`` limit
    allows it.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(-3, LARGEST_BUFFER)  # M_MMAP_THRESHOLD
    libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    libc.mlockall(1 | 2 | 4)  # MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT
