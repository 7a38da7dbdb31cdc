# SPDX-License-Identifier: Apache-2.0
"""What a person typed before they were asked: no answer, least of all to whether arms may move."""

from __future__ import annotations

import sys
import termios


def forget_typed() -> None:
    """Forget what was typed so far; nothing happens where the standard input is no terminal.

    Enter that was pressed twice, or again and again to stop something, would answer the questions
    that come minutes later.
    """
    if sys.stdin.isatty():
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
