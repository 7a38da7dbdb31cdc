# SPDX-License-Identifier: Apache-2.0
"""How long a new process takes to its first answer, and how much memory that needs."""

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import Any

from cosmos_policy_ros.backends import load_cosmos_policy

CODE = 'from cosmos_policy_ros.backends.first_answer import answer; answer(**{})'


def time_first_answer(checkpoint: Path, **how: Any) -> dict[str, float]:
    """Return how a process of its own came to its first answer, with nothing compiled before.

    Args:
        checkpoint: Checkpoint folder.
        how: Other arguments of ``load_cosmos_policy``.

    Returns:
        ``start_s`` from the start of the process to the first action chunk [s], its files being in
        the page cache; ``load_s``, what of it went before the query, imports included [s];
        ``peak_mb`` of memory and, on a GPU, ``peak_gpu_mb`` [MB].

    Raises:
        RuntimeError: The process failed.
    """
    with tempfile.TemporaryDirectory(prefix='first_answer_') as folder:
        result = Path(folder) / 'result.json'
        # What torch compiled in an earlier process would be taken from these caches.
        caches = dict.fromkeys(('TORCHINDUCTOR_CACHE_DIR', 'TRITON_CACHE_DIR'), folder)
        given = {'result': str(result), 'checkpoint': str(checkpoint), **how}
        given['start_s'] = time.monotonic()
        done = subprocess.run(
            [sys.executable, '-c', CODE.format(given)],
            env=os.environ | caches,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            msg = f'a process that was to answer with {how} failed:\n{done.stderr[-2000:]}'
            raise RuntimeError(msg)
        return json.loads(result.read_text(encoding='utf-8'))


def answer(result: str, checkpoint: str, start_s: float, **how: Any) -> None:
    """Answer one made-up query and write the figures of ``time_first_answer``.

    Args:
        result: File to write.
        checkpoint: Checkpoint folder.
        start_s: When this process was started [s, monotonic clock, which all processes share].
        how: Other arguments of ``load_cosmos_policy``.
    """
    from cosmos_policy_ros.backends.parity import made_up_observations
    from cosmos_policy_ros.core.query import PlanQuery
    import torch

    policy = load_cosmos_policy(Path(checkpoint), **how)
    loaded_s = time.monotonic()
    policy.plan(made_up_observations(policy, 1)[0], PlanQuery(1))
    figures = {
        'start_s': round(time.monotonic() - start_s, 3),
        'load_s': round(loaded_s - start_s, 3),
        'peak_mb': round(_peak_kb() * 1024 / 1e6, 1),
    }
    if policy.backend.device.type == 'cuda':
        figures['peak_gpu_mb'] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    Path(result).write_text(json.dumps(figures), encoding='utf-8')


def _peak_kb() -> int:
    """Return the largest resident memory of this process so far [KiB].

    ``getrusage`` would count what the parent had when it made this process, too.
    """
    lines = Path('/proc/self/status').read_text(encoding='utf-8').splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM'))
