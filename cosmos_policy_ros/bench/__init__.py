# SPDX-License-Identifier: Apache-2.0
"""What is slow, late or lost on this machine, beside what it is compared with.

- ``recorder``: messages that are not in the bag. ``control``: commands that leave late.
- ``latency``: queries with every backend, as a ``latency_table``, of all ``variants`` and,
  through the running stack, ``stack_latency``. ``model_2b``: the network at the size of the paper.
- ``planning``: best-of-N beside the ``reference_order`` of work, and cheaper ways to ``search``.
- ``load``: what keeps the computer busy meanwhile.

Every function prints tables and returns the figures; the public names are imported when they are
first used:

    from cosmos_policy_ros.bench import measure_control

    figures = measure_control(seconds=60.0)
"""

from importlib import import_module
from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
    from cosmos_policy_ros.bench.control import measure_control as measure_control
    from cosmos_policy_ros.bench.latency import measure_latency as measure_latency
    from cosmos_policy_ros.bench.model_2b import measure_model_2b as measure_model_2b
    from cosmos_policy_ros.bench.planning import measure_planning as measure_planning
    from cosmos_policy_ros.bench.recorder import measure_recorder as measure_recorder

_MODULES = {
    'measure_control': 'control',
    'measure_latency': 'latency',
    'measure_model_2b': 'model_2b',
    'measure_planning': 'planning',
    'measure_recorder': 'recorder',
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _MODULES:
        msg = f'module {__name__!r} has no attribute {name!r}'
        raise AttributeError(msg)
    return getattr(import_module(f'{__name__}.{_MODULES[name]}'), name)
