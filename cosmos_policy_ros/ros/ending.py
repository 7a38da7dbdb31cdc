# SPDX-License-Identifier: Apache-2.0
"""How SIGINT and SIGTERM end a node: while it is built, while it runs, and while it ends.

People press Ctrl-C again, and terminals, launch and systemd send more than one signal. The first
interrupts the building of a node with ``KeyboardInterrupt``; once an executor runs the node, rclpy
ends the context, from a thread of its own; and those that come later do nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import signal
from threading import Event
from types import FrameType

from rclpy.signals import (
    get_current_signal_handlers_options,
    install_signal_handlers,
    SignalHandlerOptions,
    uninstall_signal_handlers,
)

SIGNALS = signal.SIGINT, signal.SIGTERM
_building = Event()
_held: list[int] | None = None  # that came while they are held back


def interrupt_building() -> None:
    """Let the first signal interrupt the building of a node, until ``held_signals`` was passed.

    With Python's own handlers the second would interrupt the node while it ends. The handlers of
    rclpy call these too; whoever sets others later takes theirs away.
    """
    _building.set()
    for number in SIGNALS:
        signal.signal(number, _on_signal)


def spare_ending() -> None:
    """Let no signal interrupt the end of a node."""
    _building.clear()


def ignore_signals() -> None:
    """Let no signal disturb Python, which takes functions away while it ends."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def held_signals() -> Iterator[None]:
    """Deliver signals after the block; from then on they do not interrupt the building.

    Nothing is held where nobody called ``interrupt_building`` or rclpy does not listen.
    """
    global _held  # noqa: PLW0603 -- as the handlers of signals, one for the process
    options = get_current_signal_handlers_options()
    ours = all(signal.getsignal(number) is _on_signal for number in SIGNALS)
    if options == SignalHandlerOptions.NO or not ours:
        yield
        return
    came: list[int] = []
    _held = came
    uninstall_signal_handlers()
    try:
        yield
    finally:
        _building.clear()
        install_signal_handlers(options)  # first: what comes now may be told twice, but not lost
        _held = None
        for number in came[:1]:
            signal.raise_signal(number)


def _on_signal(number: int, _frame: FrameType | None) -> None:
    if _held is not None:
        _held.append(number)
    elif _building.is_set():
        _building.clear()
        raise KeyboardInterrupt
