# SPDX-License-Identifier: Apache-2.0
"""A network that nobody has exported yet is, when it is used for the first time."""

from __future__ import annotations

import fcntl
from importlib.util import find_spec
import logging
from pathlib import Path
import subprocess
import sys
import time

from cosmos_policy_ros.backends.engines import writable_root
from cosmos_policy_ros.backends.onnx_backend import find_onnx
from cosmos_policy_ros.core.checkpoint import TRANSFORMER, WEIGHTS

logger = logging.getLogger(__name__)

# A smaller network gains nothing, a larger one takes long and memory several times its size: for
# that somebody runs cosmos-policy export.
SIZES = range(1_000_000, 1_000_000_000)  # [bytes] of weights
NEEDS = ('onnxscript', 'openvino')
COMMAND = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()', 'export']
QUERIES = 2  # on which the exported network is compared with the original


def export_at_first_use(path: Path, device: str) -> None:
    """Export the network of a checkpoint for the CPU where that has not been done.

    Whoever else wants the same meanwhile waits for it. What keeps it from being exported is a
    warning: torch runs the network, more slowly.

    Args:
        path: Checkpoint folder.
        device: Torch device; on others than ``cpu`` nothing is done.

    Raises:
        ConfigError: What was exported is damaged.
    """
    weights = path / TRANSFORMER / WEIGHTS
    fits = weights.is_file() and weights.stat().st_size in SIZES
    if device != 'cpu' or not fits or not all(map(find_spec, NEEDS)):
        return
    if find_onnx(path) is not None:
        return
    try:
        _export(path)
    except (OSError, RuntimeError) as error:
        logger.warning('%s could not be exported (%s); torch runs it, slower', path, error)


def _export(path: Path) -> None:
    """Export in a process of its own: the exporter needs memory that this one could not give back.

    Raises:
        RuntimeError: It failed; has the last line of its output.
    """
    root = writable_root(path)
    root.mkdir(parents=True, exist_ok=True)
    with (root / '.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if find_onnx(path) is not None:
            return
        start_s = time.monotonic()
        logger.info('exporting %s for a faster runtime into %s, once; about a minute', path, root)
        done = subprocess.run(
            [*COMMAND, str(path), '--queries', str(QUERIES)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stdout.strip().rpartition('\n')[2])
        logger.info('exported after %.0f s', time.monotonic() - start_s)
