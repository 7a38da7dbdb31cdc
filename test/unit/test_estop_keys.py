# SPDX-License-Identifier: Apache-2.0
"""Keys of the emergency stop at a terminal."""

from __future__ import annotations

import os
from typing import Any

from cosmos_policy_ros.terminal import estop
import pytest


class Client:
    """A node that says nothing."""

    def __init__(self) -> None:
        """Open its output."""
        self._output, self._node = os.pipe()

    def fileno(self) -> int:
        """Return what is waited for."""
        return self._output


def test_a_signal_just_before_the_wait_for_keys_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python raises it when the wait ends, so that has to end by itself."""
    waits: list[float] = []

    def select(_read: Any, _write: Any, _other: Any, timeout_s: float = float('inf')) -> Any:
        waits.append(timeout_s)
        if len(waits) > 1:
            raise KeyboardInterrupt
        return [], [], []

    monkeypatch.setattr(estop.select, 'select', select)
    with pytest.raises(KeyboardInterrupt):
        estop._take_keys(Client(), os.pipe()[0], 0)  # type: ignore[arg-type]
    assert max(waits) <= 0.1
