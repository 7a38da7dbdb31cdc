# SPDX-License-Identifier: Apache-2.0
"""A stack that a command starts and shows in the terminal until its leader is done.

A demo, a replay and live demonstrations differ in their nodes, in what the leader reports and in
what is done with it afterwards; the way from an empty folder to the events is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
import shutil
from typing import NamedTuple

from cosmos_policy_ros.event_log import Event
from cosmos_policy_ros.stack.node_list import NodeSpec, OPERATOR, SIM_STACK, Value
from cosmos_policy_ros.stack.running import run_stack
from cosmos_policy_ros.types import ConfigError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

View = AbstractContextManager[Callable[[Event], None]]  # shows events between enter and exit


class Followed(NamedTuple):
    """A stack after its end.

    Attributes:
        events: Events of the leader, in order.
        trouble: Why it ended before the leader was done, empty where it was.
    """

    events: list[Event]
    trouble: str


def prepare_folder(wanted: Path | None, outputs: Iterable[str]) -> Path:
    """Return the output folder with an empty ``logs/``, without what an earlier run left in it.

    Args:
        wanted: Folder, by default one named after date and time.
        outputs: Files and folders that a run leaves; nothing else is removed.

    Raises:
        ConfigError: It cannot be written.
    """
    out = wanted or Path('runs', datetime.now().strftime('%Y%m%d-%H%M%S'))
    try:
        for path in [out / name for name in outputs]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        (out / 'logs').mkdir(parents=True)
    except OSError as error:
        msg = f'cannot write to the folder {out} ({error.strerror}); give another one with --out'
        raise ConfigError(msg) from error
    return out.resolve()


def follow_stack(
    values: Mapping[str, Value],
    out: Path,
    domain: int,
    console: Console,
    view: View,
    leader: NodeSpec = OPERATOR,
    others: Iterable[NodeSpec] = SIM_STACK,
) -> Followed:
    """Run a stack until its leader is done, showing its events while they come.

    Args:
        values: Arguments of the nodes, see ``node_list.ARGUMENTS``.
        out: Folder that ``prepare_folder`` returned.
        domain: ROS domain that ``choose_domain`` returned.
        console: Where domain and logs are named.
        view: Shows the events.
        leader: Node that writes the events; all is over when it ends.
        others: Nodes that it needs.
    """
    console.print(f'ROS_DOMAIN_ID={domain}, logs in {out}/logs', highlight=False, soft_wrap=True)
    trouble = ''
    with run_stack(values, out, leader, others) as stack:
        try:
            with view as show:
                for event in stack.follow():
                    show(event)
        except (ConfigError, ChildProcessError) as error:
            trouble = str(error)
    return Followed(stack.events, trouble)


def counting_bar(console: Console) -> Progress:
    """Return a bar that shows how many of a number are done, gone at the end of its block."""
    columns = (
        TextColumn('{task.description}'),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)
