# SPDX-License-Identifier: Apache-2.0
"""What a person looks at: the terminal while a stack runs, and pages, plots and films afterwards.

- A stack that is started, shown while it runs and gone afterwards (``live``): a demo (``demo``
  with ``demo_terminal``, ``demo_summary``, ``demo_plot``, ``demo_film``), a ``replay`` of a bag,
  and a live ``demonstration``.
- Recordings as one HTML page (``recordings``): ``page`` around the sections of ``episode``,
  with ``joints`` and other ``charts``, in one ``style``.
- ``comparison_plot`` of evaluations, and the ``machine`` that figures were measured on.

The public names are imported when they are first used:

    from cosmos_policy_ros.report import write_report

    write_report([Path('data/transfer_cube')], Path('transfer_cube.html'))
"""

from importlib import import_module
from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
    from cosmos_policy_ros.report.demo import play_demo as play_demo
    from cosmos_policy_ros.report.demonstration import record_live as record_live
    from cosmos_policy_ros.report.live import follow_stack as follow_stack
    from cosmos_policy_ros.report.machine import describe_machine as describe_machine
    from cosmos_policy_ros.report.recordings import write_report as write_report
    from cosmos_policy_ros.report.replay import replay_bag as replay_bag

_MODULES = {
    'play_demo': 'demo',
    'record_live': 'demonstration',
    'follow_stack': 'live',
    'describe_machine': 'machine',
    'write_report': 'recordings',
    'replay_bag': 'replay',
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _MODULES:
        msg = f'module {__name__!r} has no attribute {name!r}'
        raise AttributeError(msg)
    return getattr(import_module(f'{__name__}.{_MODULES[name]}'), name)
