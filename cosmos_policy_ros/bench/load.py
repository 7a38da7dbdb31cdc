# SPDX-License-Identifier: Apache-2.0
"""Under which conditions latencies are measured: alone, and beside a robot's other work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
import sys
import tempfile

from cosmos_policy_ros.bench.recorder import raise_if_ended, recording
from cosmos_policy_ros.stack.processes import start_process

BUSY = 'while True: pass'
LONGEST_S = 3600.0  # [s] of an episode; the recorder writes 110 MB/s until the block ends


@contextmanager
def loaded() -> Iterator[None]:
    """Publish four VGA cameras at 30 Hz and two arms, record all of it and keep one core busy.

    Raises:
        ConfigError: A process ended because of something a user can change.
        ChildProcessError: A process crashed, so that not all was measured under load.
        TimeoutError: The recorder does not begin.
    """
    with tempfile.TemporaryDirectory(prefix='bench_load_') as folder:
        out = Path(folder)
        with recording(out, LONGEST_S) as processes:
            processes['busy'] = start_process([sys.executable, '-c', BUSY], out / 'busy.log')
            yield
            raise_if_ended(out, processes)


Condition = Callable[[], AbstractContextManager[None]]
CONDITIONS: dict[str, Condition] = {'quiet': nullcontext, 'loaded': loaded}
