# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy`` in the process of a test, which has loaded what the command would load."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO
import sys

from cosmos_policy_ros.cli import main
import pytest


def refused(*words: str) -> str:
    """Run a command that is to end with status 1 and one line, and return that line."""
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(StringIO()) as errors:
        patch.setattr(sys, 'argv', ['cosmos-policy', *words])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 1
    [line] = errors.getvalue().strip().splitlines()
    return line
