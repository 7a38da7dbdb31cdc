# SPDX-License-Identifier: Apache-2.0
"""Ticks keep their grid, and missed ones are skipped."""

from __future__ import annotations

import os

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.ros.control_loop import request_realtime, Ticker


def test_ticks_stay_on_their_grid_whatever_their_lateness() -> None:
    """Lateness of one tick does not move the next."""
    ticker = Ticker(0.02, 10.0)
    assert ticker.wait_s(10.0) == pytest.approx(0.02)
    assert ticker.take(10.025) == pytest.approx(0.005)
    assert ticker.wait_s(10.025) == pytest.approx(0.015)
    assert ticker.skipped == 0


def test_missed_ticks_are_skipped_and_counted() -> None:
    """After a stall of three and a half periods one tick comes, not four."""
    ticker = Ticker(0.02, 10.0)
    assert ticker.take(10.09) == pytest.approx(0.07)
    assert ticker.skipped == 3
    assert ticker.wait_s(10.09) == pytest.approx(0.01)


def test_early_tick_waits_no_less() -> None:
    """A tick taken just before its time does not shift the grid."""
    ticker = Ticker(0.02, 10.0)
    assert ticker.take(10.0199) == pytest.approx(-0.0001)
    assert ticker.wait_s(10.02) == pytest.approx(0.02)


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
