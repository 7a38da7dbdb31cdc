# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with measured joints: dead, late, frozen, impossible, mixed up."""

from __future__ import annotations

from collections.abc import Callable
import itertools
import math
import time

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.control.safety import FROZEN_RAD, FROZEN_S, WatchdogLimits
from cosmos_policy_ros.faults.bench import FaultBench
from cosmos_policy_ros.faults.fault import Act, Fault, fault
from cosmos_policy_ros.faults.proxy import SpoilJoints
from cosmos_policy_ros.faults.verdict import find_due, gap_areas
from cosmos_policy_ros.ros.convert import time_message
from cosmos_policy_ros.topics import JOINT_STATES
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import JointState

HOLD_S = 0.2  # max_joint_age_s and three control periods
FROZEN_FOR_S, STUCK_FOR_S = 1.5, 2.0
SEEN_S = 0.25  # [s] from when a watch is due to when its mode is seen
LONG_S = 2.4  # fault_joint_age_s and what it takes to tell


def on_left(spoil: Callable[[], SpoilJoints]) -> Act:
    """Return what spoils the joint states of the first arm; ``spoil`` is made anew each time."""
    return lambda bench: bench.proxy.spoil_joints(bench.robot.arms[0].joint_state_topic, spoil())


def on_all(spoil: Callable[[], SpoilJoints]) -> Act:
    """Return what spoils the joint states of all arms."""

    def begin(bench: FaultBench) -> None:
        for topic in bench.robot.joint_state_topics:
            bench.proxy.spoil_joints(topic, spoil())

    return begin


def changed(change: Callable[[JointState], object]) -> Callable[[], SpoilJoints]:
    """Return what changes every message in place."""

    def spoil(message: JointState, _since_s: float) -> JointState:
        change(message)
        return message

    return lambda: spoil


def every(n: int, change: Callable[[JointState], object]) -> Callable[[], SpoilJoints]:
    """Return what changes every nth message in place."""

    def make() -> SpoilJoints:
        count = itertools.count()

        def spoil(message: JointState, _since_s: float) -> JointState:
            if next(count) % n == 0:
                change(message)
            return message

        return spoil

    return make


def silent() -> SpoilJoints:
    """Drop every message."""
    return lambda _message, _since_s: None


def thinned() -> SpoilJoints:
    """Let one message in ten through."""
    count = itertools.count()
    return lambda message, _since_s: message if next(count) % 10 == 0 else None


def once_ahead() -> SpoilJoints:
    """Stamp the first message a minute ahead."""
    count = itertools.count()

    def spoil(message: JointState, _since_s: float) -> JointState:
        if next(count) == 0:
            _shift(message, 60.0)
        return message

    return spoil


def _freeze(bench: FaultBench) -> None:
    """Repeat a message of the arm that moves with new stamps.

    As with a joint that is stuck, the policy sees it too, and may stop for it.
    """
    arm, _ = bench.moving_joint()
    first = bench.robot.arm_slices[arm].start
    joints = slice(first, first + len(bench.robot.arms[arm].joints))  # without grippers
    kept: list[JointState] = []

    def spoil(message: JointState, _since_s: float) -> JointState:
        kept.append(message)
        kept[0].header = message.header
        return kept[0]

    times_s, poses = _spoil_arm(bench, arm, spoil, FROZEN_FOR_S)
    ways = np.abs(poses[:, joints] - poses[:1, joints]).max(axis=1)
    beyond_s = np.cumsum(ways > FROZEN_RAD) / bench.robot.control_rate_hz
    bench.due_s, bench.must_s = find_due(times_s, beyond_s, FROZEN_S)


def _stick(bench: FaultBench) -> None:
    """Let a joint stay where it is, but for a tremor, while the others are measured.

    The policy sees it too, and may want no more of it than that: what its commands do not go
    away from cannot be told from a joint that rests.
    """
    arm, joint = bench.moving_joint()
    kept: list[float] = []

    def spoil(message: JointState, since_s: float) -> JointState:
        kept.append(message.position[joint])
        message.position[joint] = kept[0] + 1e-4 * math.sin(40.0 * since_s)
        return message

    times_s, poses = _spoil_arm(bench, arm, spoil, STUCK_FOR_S)
    gaps = np.abs(poses[:, bench.robot.arm_slices[arm].start + joint] - kept[0])
    limits, period_s = WatchdogLimits(), 1.0 / bench.robot.control_rate_hz
    areas = gap_areas(gaps, limits.max_gap_rad, period_s)
    bench.due_s, bench.must_s = find_due(times_s, areas, limits.max_gap_area)


def _spoil_arm(
    bench: FaultBench, arm: int, spoil: SpoilJoints, seconds: float
) -> tuple[list[float], NDArray[np.float64]]:
    """Spoil the joint states of an arm for a while; return times [s] and (N, A) commands of it.

    Raises:
        RuntimeError: No commands came up to the end of it, as from an executor that died.
    """
    n_before = len(bench.commands)
    bench.proxy.spoil_joints(bench.robot.arms[arm].joint_state_topic, spoil)
    bench.pause(seconds)
    commands = bench.commands[n_before:]
    if not commands or time.monotonic() - commands[-1][0] > SEEN_S:
        msg = 'the executor sent no commands any more'
        raise RuntimeError(msg)
    bench.pause(SEEN_S)  # what was due at the end of it comes too
    return [at_s for at_s, _ in commands], np.array([pose for _, pose in commands])


def _shift(message: JointState, seconds: float) -> None:
    message.header.stamp = time_message(stamp_of(message) + round(seconds * 1e9))


def _set(index: int, value: float) -> Callable[[JointState], object]:
    def change(message: JointState) -> None:
        message.position[index] = value

    return change


def _add(index: int, value: float) -> Callable[[JointState], object]:
    def change(message: JointState) -> None:
        message.position[index] += value

    return change


def _set_all(value: float) -> Callable[[JointState], object]:
    def change(message: JointState) -> None:
        message.position = [value] * len(message.position)

    return change


def _drop_joint(message: JointState) -> None:
    _keep(message, len(message.name) - 1, start=1)


def _keep(message: JointState, n: int, start: int = 0) -> None:
    for field in ('name', 'position', 'velocity', 'effort'):
        values = getattr(message, field)
        setattr(message, field, values[start : start + n] if len(values) else values)


def _name_twice(message: JointState) -> None:
    message.name = [message.name[0], *message.name]
    message.position = [message.position[0] + 0.3, *message.position]
    message.velocity, message.effort = [], []


def _roll(message: JointState) -> None:
    """Shift the values of the arm joints against their names."""
    message.position = [*message.position[1:6], message.position[0], *message.position[6:]]


def _reverse(message: JointState) -> None:
    for field in ('name', 'position', 'velocity', 'effort'):
        setattr(message, field, list(reversed(getattr(message, field))))


def _add_joint(message: JointState) -> None:
    message.name = ['lift', *message.name]
    message.position = [0.7, *message.position]
    message.velocity, message.effort = [], []


def _empty(message: JointState) -> None:
    message.name, message.position, message.velocity, message.effort = [], [], [], []


def _cut_positions(message: JointState) -> None:
    message.position = message.position[:3]


def _second_driver(bench: FaultBench) -> None:
    """Publish the left arm half a radian away, beside its driver."""
    topic = bench.robot.arms[0].joint_state_topic
    publisher = bench.stranger(JOINT_STATES.at(topic))
    for _ in range(80):
        message = bench.proxy.measured[topic]
        other = JointState(header=message.header, name=message.name)
        other.position = [position + 0.5 for position in message.position]
        publisher.publish(other)
        bench.pause(0.01)


def _sinks_in_fault(bench: FaultBench) -> None:
    """Press the stop and let a shoulder sink by 0.6 rad, whatever it is commanded."""
    bench.press_stop()
    bench.pause(0.6)
    found: list[float] = []

    def sink(message: JointState, since_s: float) -> JointState:
        found.append(message.position[1] if not found else found[0] + min(0.6, 0.6 * since_s))
        message.position[1] = found[-1]
        return message

    bench.proxy.spoil_joints(bench.robot.arms[-1].joint_state_topic, sink)
    bench.pause(1.3)
    gap = abs(found[-1] - bench.pose[bench.robot.arm_slices[-1].start + 1])
    if gap > 0.15:
        bench.complaint = f'the command stayed {gap:.2f} rad from an arm that had sunk'


FAULTS: tuple[Fault, ...] = (
    fault('joint_states_silent', 'one arm is silent', 'hold', HOLD_S, on_left(silent)),
    fault('joint_states_all_silent', 'both arms are silent', 'hold', HOLD_S, on_all(silent)),
    fault('joint_states_dead', 'one arm is silent for 3 s', 'fault', LONG_S, on_left(silent), 3.0),
    fault(
        'joint_states_nan',
        'a position is NaN',
        'hold',
        HOLD_S,
        on_left(changed(_set(2, math.nan))),
    ),
    fault(
        'joint_states_infinite',
        'a position is infinite',
        'hold',
        HOLD_S,
        on_left(changed(_set(2, math.inf))),
    ),
    fault(
        'joint_states_failed_reads',
        'all positions are -pi, as after failed bus reads',
        'hold',
        HOLD_S,
        on_left(changed(_set_all(-math.pi))),
    ),
    fault(
        'joint_states_failed_read',
        'every tenth message has all positions at -pi',
        'ignored',
        0.0,
        on_left(every(10, _set_all(-math.pi))),
        1.5,
    ),
    fault(
        'joint_states_one_wrong',
        'one joint is at -pi',
        'hold',
        HOLD_S,
        on_left(changed(_set(0, -math.pi))),
        1.5,
    ),
    fault(
        'joint_states_jump',
        'one joint is 0.5 rad off from one message to the next',
        'hold',
        HOLD_S,
        on_left(changed(_add(1, 0.5))),
        1.5,
    ),
    fault(
        'joint_states_spikes',
        'every twentieth message has a joint 0.5 rad off',
        'ignored',
        0.0,
        on_left(every(20, _add(1, 0.5))),
        1.5,
    ),
    fault(
        'joint_states_missing', 'a joint is missing', 'hold', HOLD_S, on_left(changed(_drop_joint))
    ),
    fault(
        'joint_states_twice',
        'a joint is named twice',
        'hold',
        HOLD_S,
        on_left(changed(_name_twice)),
    ),
    fault(
        'joint_states_shifted',
        'values are shifted against names',
        'hold',
        HOLD_S,
        on_left(changed(_roll)),
        1.5,
    ),
    fault(
        'joint_states_other_order',
        'joints come in another order, with their names',
        'ignored',
        0.0,
        on_left(changed(_reverse)),
    ),
    fault(
        'joint_states_more',
        'there is a joint more than the robot file has',
        'ignored',
        0.0,
        on_left(changed(_add_joint)),
    ),
    fault('joint_states_empty', 'messages are empty', 'hold', HOLD_S, on_left(changed(_empty))),
    fault(
        'joint_states_cut',
        'there are fewer positions than names',
        'hold',
        HOLD_S,
        on_left(changed(_cut_positions)),
    ),
    fault(
        'joint_states_frozen',
        'positions stand still, stamps go on',
        'hold',
        SEEN_S,
        _freeze,
        0.0,
    ),
    fault(
        'joint_states_old',
        'stamps are 10 s old',
        'hold',
        HOLD_S,
        on_left(changed(lambda message: _shift(message, -10.0))),
    ),
    fault(
        'joint_states_late',
        'stamps are 0.2 s old',
        'hold',
        HOLD_S,
        on_left(changed(lambda message: _shift(message, -0.2))),
    ),
    fault(
        'joint_states_once_ahead',
        'one stamp is a minute ahead',
        'ignored',
        0.0,
        on_left(once_ahead),
        1.5,
    ),
    fault('joint_states_10_hz', 'one message in ten arrives', 'safe', 0.0, on_left(thinned), 2.0),
    fault(
        'joint_stuck',
        'one joint does not follow',
        'hold',
        SEEN_S,
        _stick,
        0.0,
        release_s=0.4,
    ),
    fault(
        'second_driver',
        'somebody else publishes other joint states of an arm',
        'safe',
        0.0,
        _second_driver,
        0.2,
    ),
    fault(
        'arm_sinks_in_fault',
        'an arm sinks after an emergency stop and is lifted again',
        'safe',
        0.0,
        _sinks_in_fault,
        0.2,
        after_s=1.5,
    ),
)
