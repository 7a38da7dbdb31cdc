# SPDX-License-Identifier: Apache-2.0
"""Whether arms may move is asked, and answered afterwards."""

from __future__ import annotations

from collections.abc import Callable
import os
import pty
import sys
from threading import Thread
import time

from cosmos_policy_ros.cli import arms, evaluate_robot
import pytest


@pytest.mark.parametrize(
    'ask', [arms._wait_for_enter, lambda: evaluate_robot._agrees('The arms will move.')]
)
def test_enter_that_was_pressed_before_the_question_moves_nothing(
    ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody pressed it twice; only the one after the question counts."""
    person, terminal = pty.openpty()
    answered: list[object] = []
    with os.fdopen(terminal, encoding='utf-8') as typed:
        monkeypatch.setattr(sys, 'stdin', typed)
        os.write(person, b'\n')
        asked = Thread(target=lambda: answered.append(ask()), daemon=True)
        asked.start()
        time.sleep(0.5)
        assert answered == []
        os.write(person, b'\n')
        asked.join(timeout=10.0)
    os.close(person)
    assert len(answered) == 1
