# SPDX-License-Identifier: Apache-2.0
"""How SIGINT and SIGTERM end a node: while it is built, while it runs, and while it ends.

People press Ctrl-C again, and terminals, launch and systemd send more than one signal. The first
interrupts the building of a node with ``KeyboardInterrupt``; once an executor runs the node, rclpy
ends the context, from a thread of its own; and those that come later do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
_note: Callable[[int], None] | None = None  # is told of signals, which do nothing else then


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
    ours = all(signal.getsignal(number) is _on_signal for number in SIGNALS)
    if get_current_signal_handlers_options() == SignalHandlerOptions.NO or not ours:
        yield
        return
    came: list[int] = []
    try:
        with noted_signals(came.append):
            yield
            _building.clear()
    finally:
        for number in came[:1]:
            signal.raise_signal(number)


@contextmanager
def noted_signals(note: Callable[[int], None]) -> Iterator[None]:
    """Let signals call a function and do nothing else, in the main thread alone.

    Args:
        note: Called with the number of the signal, maybe once more for one at the end.
    """
    global _note  # noqa: PLW0603 -- as the handlers of signals, one for the process
    _note = note
    options = get_current_signal_handlers_options()
    uninstall_signal_handlers()
    before = {number: signal.signal(number, _on_signal) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        install_signal_handlers(options)  # of rclpy; only then nobody has to be told any more
        _note = None


def _on_signal(number: int, _frame: FrameType | None) -> None:
    if _note is not None:
        _note(number)
    elif _building.is_set():
        _building.clear()
        raise KeyboardInterrupt
