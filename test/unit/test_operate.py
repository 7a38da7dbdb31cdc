# SPDX-License-Identifier: Apache-2.0
"""Keys of a terminal and of a pedal, and what the terminal shows of the desk."""

from __future__ import annotations

import io
import os
from pathlib import Path
import re
import struct
from typing import Any

from cosmos_policy_ros.drivers.pedal import open_pedal, read_keys
from cosmos_policy_ros.terminal.estop import choose_word
from cosmos_policy_ros.terminal.operate import (
    choose_keys,
    draw_desk,
    HeldKeys,
    read_terminal_keys,
    read_words,
    TypedLine,
)
from cosmos_policy_ros.types import ConfigError
import pytest
from rich.console import Console


def test_a_terminal_sends_arrows_as_sequences_and_escape_alone() -> None:
    """As xterm does, in both of its modes."""
    assert [*read_terminal_keys('\x1b[C')] == ['ArrowRight']
    assert [*read_terminal_keys('\x1bOD')] == ['ArrowLeft']
    assert [*read_terminal_keys('\x1b')] == ['Escape']
    assert [*read_terminal_keys('s f')] == ['s', ' ', 'f']


def test_another_arrow_is_no_emergency_stop() -> None:
    """It begins like the key that is."""
    assert [*read_terminal_keys('\x1b[A')] == []


def test_escape_pressed_in_a_hurry_is_an_emergency_stop() -> None:
    """Twice, with another key, behind one that does nothing, or with the one that leaves."""
    assert [*read_terminal_keys('\x1b\x1b')] == ['Escape', 'Escape']
    assert [*read_terminal_keys('\x1b[A\x1b')] == ['Escape']
    assert [*read_terminal_keys('\x1b[15~s')] == ['s']
    for typed in ('\x1bn', '\x1bq', 'q\x1b', ' \x1b'):
        assert choose_keys(typed) == ['Escape']
    assert choose_keys('s ') == ['s', ' ']


def test_several_keys_at_once_are_an_emergency_stop_where_any_key_is_one() -> None:
    """Whichever is the last of them: r alone resets, q alone leaves."""
    assert [choose_word(typed) for typed in ('x', '\x1b', 'xr', 'rq', 'asdq')] == ['stop'] * 5
    assert [choose_word(typed) for typed in ('\x03', '\x1a', 'q\x03')] == ['stop'] * 3
    assert [choose_word(typed) for typed in ('r', 'rr', 'q', '', '\x04')] == [
        'reset', 'reset', '', '', '',
    ]  # fmt: skip


def test_a_key_that_is_held_down_counts_once() -> None:
    """A terminal sends it some thirty times a second, after half a second at first."""
    held = HeldKeys()
    assert held.is_new(' ', 10.0)
    assert not held.is_new(' ', 10.3)
    assert not held.is_new(' ', 10.6)
    assert held.is_new('s', 10.6)
    assert held.is_new(' ', 11.1)


def test_between_two_enters_keys_are_letters() -> None:
    """But for the stop; what is typed and erased again is not in the line."""
    typed = TypedLine()
    assert typed.take('s') == (['s'], [])
    assert typed.take('\r') == ([], [])
    assert typed.take('drops\x7fped: f') == ([], [])
    assert typed.text == 'dropped: f'
    assert typed.take('\x1b') == (['Escape'], [])
    assert typed.take('\x1b[C') == ([], [])
    assert typed.take('ar\nn') == (['n'], ['dropped: far'])
    assert typed.text is None


def test_words_have_what_went_wrong_before_a_colon() -> None:
    """Without one all of it is a note."""
    assert read_words(' dropped: slid off ') == {'failure': 'dropped', 'note': 'slid off'}
    assert read_words('new lamp') == {'failure': '', 'note': 'new lamp'}


def test_the_desk_shows_what_keys_do_and_what_became_of_the_last() -> None:
    """A key that would be refused is struck out."""
    operation: dict[str, Any] = {
        'label': 'Start', 'keys': 'Space', 'obstacle': '', 'is_label': False,
    }  # fmt: skip
    number = {'label': '2', 'keys': '2', 'obstacle': '', 'is_label': True}
    view = {
        'level': 'warn',
        'phase': 'ready',
        'reason': 'no chunk',
        'figures': {'safety': '0 ticks changed'},
        'instruction': 'lift',
        'operations': [operation, operation | {'label': 'Reset', 'keys': ''}, number],
        'loop': {'next': 'episode 3 of 5', 'episode': 'episode_000001', 'label': 'failure'},
        'note': {'level': 'ok', 'text': 'Enable: enabled'},
    }
    console = Console(file=io.StringIO(), width=90)
    console.print(draw_desk(view, 7))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    console.print(draw_desk(view, 7, 'drop'))
    assert '▏drop▏' in console.file.getvalue()  # type: ignore[attr-defined]
    assert 'ROS domain 7' in shown
    assert 'READY  no chunk' in shown
    assert re.search(r'task\W+lift', shown)
    assert 'Space Start   2 how far it came   Enter words on it   q leave' in shown
    assert re.search(r'next\W+episode 3 of 5', shown)
    assert re.search(r'last\W+episode_000001: failure', shown)
    assert 'Reset' not in shown
    assert 'Enable: enabled' in shown


def event(kind: int, code: int, value: int) -> bytes:
    """Return an input event as Linux writes it on 64 bits."""
    return struct.pack('=qqHHi', 1700000000, 0, kind, code, value)


@pytest.mark.skipif(struct.calcsize('l') != 8, reason='events of 64 bits')
def test_a_pedal_gives_the_keys_that_are_pressed(tmp_path: Path) -> None:
    """Not those that are let go or repeat, nor other events; a torn one is waited for."""
    path = tmp_path / 'pedal'
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    device = open_pedal(path)
    whole = event(1, 57, 1) + event(0, 0, 0) + event(1, 57, 2) + event(1, 57, 0) + event(1, 31, 1)
    os.write(writer, whole[:30])
    keys = read_keys(device)
    assert next(keys) == 57
    os.write(writer, whole[30:])
    assert next(keys) == 31
    os.close(writer)
    assert [*keys] == []


def test_a_pedal_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the place where devices are."""
    with pytest.raises(ConfigError, match=r'No such file.*/dev/input/by-id'):
        open_pedal(tmp_path / 'pedal')
