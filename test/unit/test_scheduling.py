# SPDX-License-Identifier: Apache-2.0
"""Requests to the operating system are granted or refused without a crash."""

from __future__ import annotations

import os

from cosmos_policy_ros.control.realtime import request_realtime
import pytest


def test_refused_realtime_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right the loop runs normally and says so."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, 'sched_setscheduler', refuse)
    assert request_realtime(50) == 'normal'


def test_priority_0_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call at all."""
    monkeypatch.delattr(os, 'sched_setscheduler')
    assert request_realtime(0) == 'normal'
