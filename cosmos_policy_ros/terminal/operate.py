# SPDX-License-Identifier: Apache-2.0
"""The operator's desk in a terminal: keys go to the node that calls, what the stack does is shown.

Keys are those of ``control/operations.py``. A key that is held down counts once, but for the one
that is held on purpose. Enter begins a line of words about the ended episode and ends it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import json
import os
import re
import select
import sys
import termios
import time
import tty
from typing import Any

from cosmos_policy_ros.control.operations import HOME, KEYS, OPERATIONS, STOP
from cosmos_policy_ros.stack.node_list import OPERATE, Value
from cosmos_policy_ros.stack.node_pipe import open_pipe
from cosmos_policy_ros.terminal.status import STYLES
from cosmos_policy_ros.types import ConfigError
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

REPEAT_S = 0.4  # [s] within which a key that comes again is one that is held down
LEAVE = ('q', '\x04')  # q and Ctrl-D
ENTER, ERASE = ('\r', '\n'), ('\x7f', '\b')
NAMES = {sent: name for name, key in KEYS.items() for sent in key.terminal}
SEQUENCE = re.compile(r'\x1b(\[[0-?]*[ -/]*[@-~]|O.)')  # of a key that is no character (ECMA-48)


class HeldKeys:
    """Which keys are held down, since a terminal sends them again and again."""

    def __init__(self) -> None:
        """Start with no key pressed."""
        self._last_s: dict[str, float] = {}

    def is_new(self, key: str, now_s: float) -> bool:
        """Return whether a key that came is pressed anew.

        Args:
            key: Its name.
            now_s: When it came [s, monotonic].
        """
        last_s = self._last_s.get(key, -REPEAT_S)
        self._last_s[key] = now_s
        return now_s - last_s >= REPEAT_S


class TypedLine:
    """A line that is typed between two presses of Enter; keys are letters then, but for the stop.

    Attributes:
        text: What is typed of it until now; None while nobody types.
    """

    def __init__(self) -> None:
        """Start with nobody typing."""
        self.text: str | None = None

    def take(self, read: str) -> tuple[list[str], list[str]]:
        """Return the keys in what a terminal sent at once, and the lines that it has ended.

        Args:
            read: What came.
        """
        if self.text is not None and '\x1b' in read:
            return [key for key in choose_keys(read) if key in OPERATIONS[STOP].keys], []
        pressed, lines = '', []
        for sign in read:
            if sign in ENTER:
                lines += [] if self.text is None else [self.text]
                self.text = '' if self.text is None else None
            elif self.text is None:
                pressed += sign
            elif sign in ERASE:
                self.text = self.text[:-1]
            elif sign.isprintable():
                self.text += sign
        return choose_keys(pressed), lines


def read_words(line: str) -> dict[str, str]:
    """Return ``failure`` and ``note`` of a typed line: ``dropped: slid off``, or a note alone."""
    failure, colon, note = line.partition(':')
    return {'failure': failure.strip() if colon else '', 'note': (note if colon else line).strip()}


def read_terminal_keys(read: str) -> Iterator[str]:
    """Yield the names of the keys in what a terminal sent at once, or the character of others.

    Args:
        read: What came; an arrow is one sequence, which comes as a whole.
    """
    while read:
        sequence = SEQUENCE.match(read)
        sent = sequence[0] if sequence else read[0]
        if not sequence or sent in NAMES:  # else it is another key, such as F5
            yield NAMES.get(sent, sent)
        read = read[len(sent) :]


def choose_keys(read: str) -> list[str]:
    """Return the keys to take of what a terminal sent at once: an emergency stop, or all.

    Args:
        read: What came.
    """
    keys = [*read_terminal_keys(read)]
    return ['Escape'] if 'Escape' in keys else keys  # whatever was hit with it


def operate(values: Mapping[str, Value], domain: int) -> None:
    """Show a running stack and do what keys say, until ``q`` or Ctrl-C.

    Args:
        values: Arguments of the node, such as its namespace.
        domain: ROS domain, for the title.

    Raises:
        ConfigError: There is no terminal, or the node ends.
    """
    if not sys.stdin.isatty():
        msg = 'no terminal to take keys from; cosmos-policy status looks without one'
        raise ConfigError(msg)
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    held, typed = HeldKeys(), TypedLine()
    view: Mapping[str, Any] | None = None
    with open_pipe(OPERATE, values) as node:
        try:
            tty.setcbreak(keyboard)
            with Live(console=Console(), auto_refresh=False, transient=False) as live:
                while True:
                    ready, _, _ = select.select([keyboard, node], [], [])
                    if keyboard in ready:
                        sent = os.read(keyboard, 64)
                        keys, lines = typed.take(sent.decode(errors='replace'))
                        if not sent or any(key in LEAVE for key in keys):
                            return
                        now_s = time.monotonic()
                        words = [json.dumps(read_words(line)) for line in lines if line.strip()]
                        node.write(*(k for k in keys if _counts(k, held, now_s)), *words)
                    if node in ready and (views := node.read(0.0)):
                        view = views[-1]
                    if view is not None:
                        live.update(draw_desk(view, domain, typed.text), refresh=True)
        finally:
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def draw_desk(view: Mapping[str, Any], domain: int, typed: str | None = None) -> Group:
    """Return what a terminal shows of the desk.

    Args:
        view: As of ``OperatorDesk.view``.
        domain: ROS domain, for the title.
        typed: As ``text`` of ``TypedLine``.
    """
    table = Table(title=f'ROS domain {domain}', title_justify='left', show_header=False)
    table.add_column(justify='right', style='dim')
    table.add_column(min_width=60)
    phase = Text(view['phase'].upper(), style=STYLES[view['level']])
    table.add_row('phase', phase.append(f'  {view["reason"]}' if view['reason'] else ''))
    if (loop := view['loop']) is not None:
        table.add_row('next', Text(loop['next'], style='bold'))
        if loop['episode']:
            table.add_row('last', f'{loop["episode"]}: {loop["label"] or "no label yet"}')
    figures = {'task': view['instruction']} if view['instruction'] else {}
    for name, text in (figures | view['figures']).items():
        table.add_row(name, text)
    keys = Text()
    for operation in view['operations']:
        if operation['keys']:
            style = 'dim strike' if operation['obstacle'] else 'bold'
            label = '' if operation['is_label'] else f' {operation["label"]}   '
            keys.append(operation['keys'] + label, style=style)
            keys.append(' ' if operation['is_label'] else '')
    keys.append('how far it came   Enter words on it   q leave')
    note = Text(view['note']['text'], style=STYLES[view['note']['level']])
    if typed is not None:
        note = Text(f'what went wrong: what else is worth knowing ▏{typed}▏')
    return Group(table, keys, note)


def _counts(key: str, held: HeldKeys, now_s: float) -> bool:
    """Return whether a key that came is to be passed on: pressed anew, or held on purpose."""
    return key in KEYS and (held.is_new(key, now_s) or key in OPERATIONS[HOME].keys)
