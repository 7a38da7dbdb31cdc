# SPDX-License-Identifier: Apache-2.0
"""On which machine and with which libraries figures were measured."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
import os
from pathlib import Path
import platform
from typing import Any

LIBRARIES = ('torch', 'diffusers', 'mujoco', 'numpy')


def describe_machine() -> dict[str, Any]:
    """Return ``cores``, the name of the ``processor`` and ``versions`` by library.

    Latencies depend on them, so every file with figures has them.
    """
    versions = {library: _version(library) for library in LIBRARIES}
    versions['python'] = platform.python_version()
    return {'cores': os.cpu_count(), 'processor': _processor(), 'versions': versions}


def load_average() -> float:
    """Return how many processes wanted to run on average during the last minute."""
    return round(os.getloadavg()[0], 2)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # a Linux distribution may bring it without metadata
        return 'unknown'


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:  # not Linux
        return platform.processor()
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()
