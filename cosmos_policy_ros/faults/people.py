# SPDX-License-Identifier: Apache-2.0
"""What people do at the wrong moment: stop, enable, disable, change the instruction."""

from __future__ import annotations

from collections.abc import Callable

from cosmos_policy_ros.faults.bench import FaultBench
from cosmos_policy_ros.faults.fault import Act, Fault, fault
from cosmos_policy_ros.topics import TASK
import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import String

DRIFT_RAD = 0.03  # by which enabling again and again may move an arm


def _instruct(text: Callable[[FaultBench], str]) -> Act:
    def begin(bench: FaultBench) -> None:
        bench.stranger(TASK).publish(String(data=text(bench)))

    return begin


def _instruct_back(bench: FaultBench) -> None:
    """Let the simulator's instruction stand again."""
    publisher = bench.stranger(TASK)
    publisher.publish(String(data=bench.instruction))
    bench.pause(0.3)


def _enable_after_stop(bench: FaultBench) -> None:
    """Stop, disable and enable at once."""
    bench.press_stop()
    bench.pause(0.3)
    bench.client.enable(False)
    bench.try_to_enable()


def _stop_while_disabled(bench: FaultBench) -> None:
    bench.client.enable(False)
    bench.pause(0.2)
    bench.press_stop()
    bench.pause(0.3)
    bench.try_to_enable()


def _reset_and_enable(bench: FaultBench) -> None:
    """Stop, reset, enable; nobody activates the policy."""
    bench.press_stop()
    bench.pause(0.4)
    bench.client.enable(False)
    bench.reset_stop()
    bench.client.pause(0.3)
    bench.client.wait(bench.enable, 5.0, lambda: 'not enabled again')
    start = bench.pose
    bench.pause(2.0)
    way = np.abs(bench.pose - start)[bench.robot.arm_joints].max()
    if way > DRIFT_RAD:
        bench.complaint = f'the arms moved {way:.2f} rad, though nobody activated the policy'


def _enable_while_stale(bench: FaultBench) -> None:
    bench.client.enable(False)
    topic = bench.robot.arms[0].joint_state_topic
    bench.proxy.spoil_joints(topic, lambda _message, _since_s: None)
    bench.pause(0.5)
    bench.try_to_enable()


def _enable_with_a_wrong_joint(bench: FaultBench) -> None:
    """Let one message before enabling have a joint 2 rad off."""
    bench.client.enable(False)
    bench.pause(0.3)
    topic, arm = bench.robot.arms[0].joint_state_topic, bench.robot.arms[0]

    def spoil(message: JointState, since_s: float) -> JointState:
        if 0.3 < since_s < 0.32:
            message.position[len(arm.joints) - 1] += 2.0
        return message

    bench.proxy.spoil_joints(topic, spoil)
    bench.pause(0.315)
    bench.try_to_enable()
    bench.refused = None
    bench.pause(0.5)


def _enable_again_and_again(bench: FaultBench) -> None:
    start = bench.pose
    for _ in range(8):
        bench.client.enable(False)
        bench.pause(0.05)
        bench.client.wait(bench.enable, 5.0, lambda: 'not enabled again')
        bench.pause(0.1)
    way = np.abs(bench.pose - start).max()
    if way > DRIFT_RAD:
        bench.complaint = f'the pose drifted by {way:.3f} rad over eight enablings'


FAULTS: tuple[Fault, ...] = (
    fault('stop_service', 'emergency stop by its service', 'fault', 0.15, FaultBench.press_stop),
    fault('stop_topic', 'emergency stop by its topic', 'fault', 0.15, FaultBench.send_stop),
    fault(
        'stop_while_still',
        'emergency stop while the arms hold their pose',
        'fault',
        0.15,
        FaultBench.press_stop,
        moments=('still',),
    ),
    fault('enable_after_stop', 'enabled without a reset', 'refused', 0.0, _enable_after_stop),
    fault(
        'stop_while_disabled',
        'stopped while disabled, then enabled',
        'refused',
        0.0,
        _stop_while_disabled,
    ),
    fault(
        'reset_and_enable',
        'stopped, reset, enabled; the policy is not activated',
        'safe',
        0.0,
        _reset_and_enable,
    ),
    fault('enable_twice', 'enabled while enabled', 'ignored', 0.0, FaultBench.try_to_enable),
    fault(
        'enable_while_stale', 'enabled while an arm is silent', 'refused', 0.0, _enable_while_stale
    ),
    fault(
        'enable_with_a_wrong_joint',
        'one wrong message just before enabling',
        'safe',
        0.0,
        _enable_with_a_wrong_joint,
    ),
    fault(
        'enable_again_and_again',
        'disabled and enabled eight times',
        'safe',
        0.0,
        _enable_again_and_again,
        moments=('still',),
    ),
    fault(
        'disable', 'disabled in motion', 'disabled', 0.15, lambda bench: bench.client.enable(False)
    ),
    fault(
        'instruction_changed',
        'another instruction in motion',
        'ended',
        3.0,
        _instruct(lambda _bench: 'insert the red peg into the blue socket'),
        3.5,
        _instruct_back,
    ),
    fault(
        'instruction_nonsense',
        'an instruction that nobody knows',
        'ended',
        3.0,
        _instruct(lambda _bench: 'qwertz'),
        3.5,
        _instruct_back,
    ),
    fault(
        'instruction_of_a_megabyte',
        'an instruction of 1,000,000 characters',
        'ended',
        3.0,
        _instruct(lambda _bench: 'x' * 1_000_000),
        3.5,
        _instruct_back,
    ),
)
