# SPDX-License-Identifier: Apache-2.0
"""The emergency stop at a terminal: keys go to the node that presses it, its answers come back.

The node is started once and stays, so that a key needs no search for the executor. Who presses
Ctrl-C, which ends other programs, gets the stop that any other key gives, before this one ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
import os
import select
import sys
import termios
import time
import tty

from cosmos_policy_ros.event_log import Event
from cosmos_policy_ros.stack.node_list import ESTOP
from cosmos_policy_ros.stack.node_pipe import NodePipe
from cosmos_policy_ros.types import ConfigError

ANSWER_S = 1.0  # [s] after the node's own limit, in which it reports that nobody answers
START_S = 60.0  # [s] in which the node starts, however busy the machine is
SIGNAL_S = 0.05  # [s] within which a signal is noticed that came just before a wait for keys
SEARCH_S = 5.0  # [s] in which an executor that runs is found
END_OF_INPUT = ('', '\x04')  # what a closed input and Ctrl-D give
INTERRUPT = '\x03'  # what Ctrl-C gives, where the terminal makes no signal of it
KEYS = 'any key: emergency stop    r: reset it    q: leave    Ctrl-C: emergency stop, and leave'
LEFT = 'NOT CONFIRMED: interrupted while waiting; use the switch that cuts the power'


class EstopClient(NodePipe):
    """The node that presses the emergency stop, and what it has said of itself.

    Attributes:
        started: Whether it takes words at once.
        found: Whether it knows an executor.
    """

    def __init__(self, namespace: str = '') -> None:
        """Start it in the namespace of the executor."""
        super().__init__(ESTOP, {'namespace': namespace})
        self.started = self.found = False

    def read(self, timeout_s: float) -> list[Event]:
        """Return what the node has reported, as ``NodePipe.read``."""
        events = super().read(timeout_s)
        for event in events:
            self.started |= event['event'] == 'started'
            self.found = {'found': True, 'lost': False}.get(event['event'], self.found)
        return events


def press_once(word: str, domain: int, search_s: float, namespace: str = '') -> tuple[bool, str]:
    """Press or reset the emergency stop, and return what came of it.

    A stop is sent from the beginning and again until it is confirmed, a reset once the executor is
    found.

    Args:
        word: ``stop`` or ``reset``.
        domain: ROS domain, for the answer.
        search_s: How long the executor may take to be found [s].
        namespace: Namespace of the executor.

    Returns:
        Whether the executor confirms, and the line for people.

    Raises:
        ConfigError: The node has ended.
    """
    with closing(EstopClient(namespace)) as client:
        if word == 'stop':
            client.write(word)
            return _wait_for_stop(client, domain, search_s + ANSWER_S)
        while not client.started:
            client.read(0.1)
        end_s = time.monotonic() + search_s
        while not client.found and time.monotonic() < end_s:
            client.read(0.1)
        client.write(word)
        end_s = time.monotonic() + ANSWER_S
        while time.monotonic() < end_s:
            for event in client.read(0.1):
                if event['event'] in (word, 'refused'):  # also where it comes late
                    return event['event'] == word, describe(event, domain)
        unconfirmed = {'event': 'unconfirmed', 'word': word, 'found': client.found}
    return False, describe(unconfirmed, domain)


def watch_keys(domain: int, namespace: str = '') -> bool:
    """Press at every key until somebody leaves, at Ctrl-C too, which leaves then.

    Args:
        domain: ROS domain, for what is shown.
        namespace: Namespace of the executor.

    Returns:
        False where Ctrl-C was pressed and no executor confirms the stop.

    Raises:
        ConfigError: The node has ended, or there is no terminal.
    """
    if not sys.stdin.isatty():
        msg = 'no terminal to take keys from; --once presses the emergency stop and ends'
        raise ConfigError(msg)
    with closing(EstopClient(namespace)) as client:
        try:
            with _every_key(sys.stdin.fileno()) as keyboard:
                _show(f'searching for the command executor on ROS_DOMAIN_ID={domain}', KEYS)
                interrupted = _take_keys(client, keyboard, domain)
        except KeyboardInterrupt:  # a signal of somebody else, or before the terminal was set
            client.write('stop')
            interrupted = True
        if interrupted:
            confirmed, line = _wait_for_stop(client, domain, SEARCH_S, _show)
            _show(line)
            return confirmed
    _show('the emergency stop is as it was')
    return True


def _take_keys(client: EstopClient, keyboard: int, domain: int) -> bool:
    """Press at every key until somebody leaves; return whether that was by Ctrl-C."""
    while True:
        ready, _, _ = select.select([keyboard, client.fileno()], [], [], SIGNAL_S)
        if keyboard in ready:
            typed = os.read(keyboard, 64).decode(errors='replace')
            word = choose_word(typed)
            if not word:
                return False
            client.write(word)
            if INTERRUPT in typed:
                return True
        if client.fileno() in ready:
            lines = (describe(event, domain) for event in client.read(0.0))
            _show(*(line for line in lines if line))


@contextmanager
def _every_key(keyboard: int) -> Iterator[int]:
    """Yield a terminal that hands over every key at once, those of signals too."""
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        mode = termios.tcgetattr(keyboard)
        mode[tty.LFLAG] &= ~termios.ISIG
        termios.tcsetattr(keyboard, termios.TCSADRAIN, mode)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _wait_for_stop(
    client: EstopClient,
    domain: int,
    patience_s: float,
    show: Callable[[str], None] = lambda _line: None,
) -> tuple[bool, str]:
    """Return whether a stop that was pressed is confirmed, and the line for people.

    Args:
        client: Its node sends the stop again and again meanwhile.
        domain: ROS domain, for the answer.
        patience_s: How long that may take from when the node runs [s].
        show: Called with the line that nobody has confirmed yet.
    """
    end_s = time.monotonic() + START_S
    try:
        while time.monotonic() < end_s:
            for event in client.read(0.1):
                if event['event'] == 'stop':
                    return True, describe(event, domain)
                if event['event'] == 'unconfirmed':
                    show(describe(event, domain))
            if client.started:
                end_s = min(end_s, time.monotonic() + patience_s)
    except KeyboardInterrupt:
        return False, LEFT
    unconfirmed = {'event': 'unconfirmed', 'word': 'stop', 'found': client.found}
    return False, describe(unconfirmed, domain)


def choose_word(typed: str) -> str:
    """Return what keys that came at once say: ``stop``, ``reset``, or nothing, which is to leave.

    Somebody who hits more than one key wants the arms to stand, whichever they are.

    Args:
        typed: What the terminal sent.
    """
    if typed in END_OF_INPUT or set(typed) == {'q'}:
        return ''
    return 'reset' if set(typed) == {'r'} else 'stop'


def describe(event: Event, domain: int) -> str:
    """Return an event of the node as a line for people, empty for one that says nothing to them.

    Args:
        event: The event.
        domain: ROS domain.
    """
    kind = event['event']
    if kind == 'found':
        return 'found the command executor; a key stops the arms'
    if kind == 'lost':
        return 'THE COMMAND EXECUTOR IS GONE; the arms do what their drivers do then'
    if kind == 'stop':
        return f'STOPPED, confirmed after {event["seconds"] * 1e3:.0f} ms; latched until reset'
    if kind == 'reset':
        return 'reset; enable to move again'
    if kind == 'refused':
        return f'NOT RESET, the command executor says: {event["reason"]}'
    if kind == 'started':
        return ''
    known = 'the command executor does not answer' if event['found'] else 'nobody answers'
    if event['word'] == 'reset':
        return f'NOT RESET: {known} on ROS_DOMAIN_ID={domain}'
    return f'NOT CONFIRMED: {known} on ROS_DOMAIN_ID={domain}; use the switch that cuts the power'


def _show(*lines: str) -> None:
    sys.stdout.writelines(f'{line}\n' for line in lines)
    sys.stdout.flush()
