# SPDX-License-Identifier: Apache-2.0
"""Messages of the sensors are counted while others look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import sys
from threading import Event, Thread
import time

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.stream_rates import StreamRates
from node_bench import ros_node

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')
CAMERA = ROBOT.cameras[0].name


@pytest.fixture
def rates() -> Iterator[StreamRates]:
    """Give the counts of a node that nobody spins."""
    with ros_node('rates') as node:
        yield StreamRates(node, ROBOT)


def row(rates: StreamRates) -> dict[str, float | None]:
    """Return what is known of the first camera."""
    return rates.rows()[0]


def test_a_stream_has_no_age_before_its_first_message(rates: StreamRates) -> None:
    """All of it is lost until then."""
    assert (row(rates)['age_s'], row(rates)['lost']) == (None, 1.0)


def test_the_newest_message_counts_for_its_age_however_old(rates: StreamRates) -> None:
    """Older ones than the window are forgotten when the next one comes."""
    rates._arrivals_s[CAMERA].extend([time.monotonic() - 20.0, time.monotonic() - 10.0])
    assert 10.0 <= (row(rates)['age_s'] or 0.0) < 11.0
    rates._on_message(CAMERA, b'')
    assert len(rates._arrivals_s[CAMERA]) == 1


def test_pages_look_while_messages_come(rates: StreamRates) -> None:
    """Every page is served by a thread of its own."""
    looked: list[dict[str, float | None]] = []
    fed = Event()

    def look() -> None:
        while not fed.is_set():
            looked.append(row(rates))

    looking = Thread(target=look)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        looking.start()
        for _ in range(10_000):
            rates._on_message(CAMERA, b'')
    finally:
        fed.set()
        looking.join()
        sys.setswitchinterval(before)
    assert len(looked) > 1
    assert row(rates)['lost'] == 0.0
