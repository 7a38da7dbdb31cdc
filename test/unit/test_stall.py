# SPDX-License-Identifier: Apache-2.0
"""Whether what is asked of a loop may have waited while that stood still."""

from __future__ import annotations

from cosmos_policy_ros.control.stall import StallWatch


def test_a_loop_that_turns_obeys_at_once() -> None:
    """Also where a turn took long."""
    watch = StallWatch(2.0)
    for now_s in (10.0, 10.01, 11.9, 11.91):
        watch.note(now_s)
    assert watch.find(11.92) == ''


def test_what_waited_through_a_stall_is_told_so_whether_it_or_the_loop_comes_first() -> None:
    """Which is chance after a process was stopped."""
    asked, turned = StallWatch(2.0), StallWatch(2.0)
    asked.note(10.0)
    turned.note(10.0)
    turned.note(15.0)
    reason = 'this node stood still for 5.0 s, so that this may have waited; call again in 4 s'
    assert asked.find(15.0) == turned.find(15.01) == reason
    assert asked.find(15.2) == reason


def test_who_calls_again_is_obeyed() -> None:
    """After the heartbeat that may bring what waited."""
    watch = StallWatch(2.0)
    for now_s in (10.0, 15.0, 16.5, 18.0):
        watch.note(now_s)
    assert watch.find(18.4).endswith('call again in 1 s')
    assert watch.find(18.5) == ''


def test_a_loop_that_has_not_begun_has_not_stood_still() -> None:
    """However long its node took to start."""
    watch = StallWatch(2.0)
    assert watch.find(10.0) == ''
    watch.note(15.0)
    assert watch.find(15.0) == ''
