# SPDX-License-Identifier: Apache-2.0
"""With ``use_sim_time`` nothing passes for fresh because the clock stands still."""

from __future__ import annotations

from collections.abc import Iterator
import signal
import subprocess
import time

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.ros.endpoints import create_publisher, create_subscription
from cosmos_policy_ros.stack.node_list import node_command, SIM
from cosmos_policy_ros.topics import CLOCK, JOINT_STATES
from node_bench import ThreadedBench
import rclpy
from rclpy.node import Node
from ros_domains import ros_domain
from rosgraph_msgs.msg import Clock
from test_command_executor import Bench, Executor, start_executor, waist


class TimedBench(Bench):
    """Fake arms, and the time for their executor while ``ticking``."""

    def __init__(self) -> None:
        """Send no time yet."""
        super().__init__()
        self.ticking = False
        self.clock = create_publisher(self.arms, CLOCK)
        self.arms.create_timer(0.01, self._tell_time)

    def _tell_time(self) -> None:
        if self.ticking:
            self.clock.publish(Clock(clock=self.arms.get_clock().now().to_msg()))


class TimedExecutor(Executor):
    """An executor that lives by that time."""

    def __init__(self) -> None:
        """Start it."""
        self.process = start_executor('use_sim_time:=true', 'fault_joint_age_s:=1.0')


@pytest.fixture
def live() -> Iterator[TimedBench]:
    """Return fake arms whose executor waits for the time."""
    with ros_domain():
        bench = TimedBench()
        executor = TimedExecutor()
        try:
            bench.connect()
            bench.wait(bench.clock.get_subscription_count)
            yield bench
            assert executor.stop(signal.SIGINT) == 0
        finally:
            executor.process.kill()
            bench.close()


@pytest.mark.usefixtures('domain')
def test_the_simulator_is_the_clock_of_its_stack() -> None:
    """It follows the system clock, and measures whether or not anybody sends a time."""
    process = subprocess.Popen(node_command(SIM, {'use_sim_time': True}))
    rclpy.init()
    node = Node('listener')
    bench = ThreadedBench(node)
    try:
        stamps: dict[str, int] = {}
        joints = JOINT_STATES.at('/follower_left/joint_states')
        create_subscription(node, joints, lambda m: stamps.update(joints=stamp_of(m)))
        create_subscription(
            node,
            CLOCK,
            lambda m: stamps.update(clock=m.clock.sec * 10**9 + m.clock.nanosec),
        )
        bench.wait(lambda: len(stamps) == 2)
        assert abs(time.time_ns() - stamps['clock']) < 2_000_000_000
        assert abs(stamps['joints'] - stamps['clock']) < 100_000_000
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        bench.close()


def test_motion_is_not_enabled_without_a_clock(live: TimedBench) -> None:
    """The topic that nobody sends is named."""
    response = live.enable()
    assert not response.success
    assert '/clock has stood still for' in response.message


def test_an_arm_driver_that_dies_is_a_hold_and_then_a_fault(live: TimedBench) -> None:
    """By a running clock, as without use_sim_time."""
    live.ticking = True
    live.restart()
    live.send(waist(0.0, 0.3))
    live.status(mode='playing')
    live.arms.silent.add('follower_left')
    live.status(mode='hold')
    assert 'no joint states for' in live.status(mode='fault')['reason']


def test_a_clock_that_ends_is_a_hold_and_then_a_fault(live: TimedBench) -> None:
    """Named also where the arm driver goes first, as a simulator's may when it dies."""
    live.ticking = True
    live.restart()
    live.send(waist(0.0, 0.3))
    live.status(mode='playing')
    live.arms.silent.add('follower_left')
    time.sleep(0.2)
    live.ticking = False
    live.status(mode='hold')
    reason = live.status(mode='fault')['reason']
    assert '/clock has stood still for' in reason
    assert 'no joint states for' in reason
    assert not live.enable().success
