# SPDX-License-Identifier: Apache-2.0
"""ROS domains and ports that are free on this machine, and patience.

Several test runs (two checkouts, several workers) may share a machine, and a demo may run beside
them. Each test takes the domains it needs from here: a lock file per domain says who has it, and
the ports of DDS say whether anybody else is on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, ExitStack
import fcntl
import os
from pathlib import Path
import socket
import tempfile
import time

from cosmos_policy_ros.stack.domain import HIGHEST_DOMAIN, is_silent
import pytest

PROFILES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
LOCKS = Path(tempfile.gettempdir()) / 'cosmos_policy_ros_domains'


@contextmanager
def without_shared_memory() -> Iterator[None]:
    """Let the processes that the block starts talk over UDP.

    For tests that stop a process and let it go on: the port in shared memory of another one is
    broken for all by that now and then (Fast DDS issues 5737 and 6117), and nothing reaches it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FASTDDS_BUILTIN_TRANSPORTS', 'UDPv4')
        # for the range LOCALHOST the RMW adds shared memory whatever the transports are
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
        patch.setenv('ROS_STATIC_PEERS', '127.0.0.1')  # where nothing is multicast
        for name in PROFILES:
            patch.setenv(name, os.devnull)
        yield


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(('', 0))
        return int(probe.getsockname()[1])


def open_lock(domain: int) -> int:
    """Return the descriptor of a domain's lock file, which every user may lock."""
    if not LOCKS.exists():
        LOCKS.mkdir(exist_ok=True)
        LOCKS.chmod(0o777)
    path = LOCKS / str(domain)
    if not path.exists():
        path.touch()
        path.chmod(0o666)
    return os.open(path, os.O_RDWR)


def last_use_ns(domain: int) -> int:
    """Return when a domain was last in use [ns], 0 if never."""
    path = LOCKS / str(domain)
    return path.stat().st_mtime_ns if path.exists() else 0


@contextmanager
def claim(domain: int) -> Iterator[bool]:
    """Hold a domain in the block if nobody else has it; give whether it is held.

    The lock is gone with the process, however that ends.
    """
    descriptor = open_lock(domain)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        yield False
        return
    os.utime(descriptor)
    try:
        yield is_silent(domain)
    finally:
        os.utime(descriptor)
        os.close(descriptor)


@contextmanager
def free_domains(count: int = 1) -> Iterator[int]:
    """Hold neighbouring domains that nobody on this machine uses, and give the first one.

    What was in use longest ago comes first: a participant that was killed is seen by others for
    20 s.

    Raises:
        RuntimeError: All domains are in use.
    """
    firsts = range(1, HIGHEST_DOMAIN + 2 - count)
    for first in sorted(firsts, key=lambda d: max(map(last_use_ns, range(d, d + count)))):
        with ExitStack() as claims:
            if all(claims.enter_context(claim(first + i)) for i in range(count)):
                yield first
                return
    msg = f'no {count} of the domains 1 to {HIGHEST_DOMAIN} are free; see {LOCKS}'
    raise RuntimeError(msg)


@contextmanager
def ros_domain(count: int = 1) -> Iterator[int]:
    """Put this process, and those it starts in the block, on a free domain, and give its number.

    Args:
        count: Neighbouring domains to hold; the first is the one.
    """
    with free_domains(count) as domain, pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_DOMAIN_ID', str(domain))
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        yield domain


def wait_for(condition: Callable[[], object], timeout_s: float = 120.0) -> None:
    """Wait until a condition holds."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, 'nothing happened'
        time.sleep(0.01)
