# SPDX-License-Identifier: Apache-2.0
"""What the check finds in streams and robot descriptions, with what to do about it."""

from __future__ import annotations

from dataclasses import replace
import math
from pathlib import Path

from cosmos_policy_ros.control.limit_check import compare_limits, JointLimits, read_limits
from cosmos_policy_ros.control.stream_check import Stream
from cosmos_policy_ros.finding import Finding
from cosmos_policy_ros.robot import read_robot
import pytest

ARM = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml').arms[0]
MS = 1_000_000
URDF = """<robot name="arm">
  <joint name="waist" type="revolute"><limit lower="-3.1" upper="3.1" velocity="3.14"/></joint>
  <joint name="wheel" type="continuous"><limit velocity="2"/></joint>
  <joint name="finger" type="prismatic"><limit upper="0.05" velocity="1"/></joint>
  <joint name="bolt" type="fixed"/>
</robot>"""


def look(stream: Stream, seconds: float = 1.0) -> dict[str, Finding]:
    """Return what is found in a stream by the name of the check."""
    return {finding.check: finding for finding in stream.findings(seconds)}


def play(step_ms: int, late_ms: int, n: int = 21, refusal: str = '') -> Stream:
    """Return a stream of 50 Hz to which messages came, the last one refused for a reason."""
    stream = Stream('/arm/joint_states', 50.0)
    for i in range(n):
        arrival_ns = 10**9 + i * step_ms * MS
        stream.add(arrival_ns - late_ms * MS, arrival_ns, refusal if i == n - 1 else '')
    return stream


def test_good_stream_has_its_rate_and_fresh_stamps() -> None:
    """Nothing is to be done."""
    found = look(play(20, 3))
    assert [f.level for f in found.values()] == ['ok'] * 4
    assert found['rate'].found == '50.0 Hz'
    assert found['stamps'].found == '3 ms old on arrival'
    assert found['content'].found == 'as in the robot file'


def test_silent_topic_is_one_error() -> None:
    """Rate and stamps of nothing are not judged."""
    (finding,) = look(Stream('/cam/image_raw', 30.0)).values()
    assert (finding.level, finding.found) == ('error', '0 in 1 s')
    assert finding.advice.startswith('start its driver')


def test_slow_stream_is_an_error() -> None:
    """Both rates are named."""
    finding = look(play(100, 3))['rate']
    assert (finding.level, finding.found, finding.expected) == ('error', '10.0 Hz', '50 Hz')


@pytest.mark.parametrize(
    ('late_ms', 'found'),
    [(400, '400 ms old on arrival'), (-60_000, '60000 ms ahead of this clock')],
)
def test_stamps_of_another_clock_are_an_error(late_ms: int, found: str) -> None:
    """Observations would be too old, or hidden by one from the future."""
    finding = look(play(20, late_ms))['stamps']
    assert (finding.level, finding.found) == ('error', found)
    assert 'synchronise the clocks' in finding.advice


def test_stamps_of_zero_are_an_error() -> None:
    """A driver that does not stamp."""
    stream = Stream('/arm/joint_states', 50.0)
    for i in range(5):
        stream.add(0, 10**9 + i * 20 * MS, '')
    assert look(stream)['stamps'].found == 'all zero'


def test_one_repeated_stamp_is_a_warning_and_frozen_ones_are_an_error() -> None:
    """A timer that comes late repeats one; a second publisher many."""
    once, frozen = play(20, 3), Stream('/arm/joint_states', 50.0)
    once.add(10**9 + 397 * MS, 10**9 + 401 * MS, '')
    for i in range(20):
        frozen.add(10**9, 10**9 + i * 20 * MS, '')
    assert look(once)['stamps'].level == 'warning'
    assert look(frozen)['stamps'].level == 'error'


def test_refused_message_is_an_error_with_its_reason() -> None:
    """As the executor and the inference node would log it."""
    finding = look(play(20, 3, refusal='lacks the joints [waist]'))['content']
    assert finding.found == '1 of 21 refused: lacks the joints [waist]'
    assert finding.level == 'error'


def test_limits_are_read_as_urdf_means_them() -> None:
    """A continuous joint has no range, a bound that is left out is 0."""
    limits = read_limits(URDF)
    assert limits == {
        'waist': JointLimits(-3.1, 3.1, 3.14),
        'wheel': JointLimits(-math.inf, math.inf, 2.0),
        'finger': JointLimits(0.0, 0.05, 1.0),
    }


def test_text_that_is_no_urdf_is_refused() -> None:
    """With what the parser says."""
    with pytest.raises(ValueError, match='robot description is no XML'):
        read_limits('robot')


def one_joint(lower: float, upper: float, speed: float) -> list[Finding]:
    """Return what is found out about an arm of one joint."""
    arm = replace(ARM, joints=('waist',), lower=(lower,), upper=(upper,), max_speed=(speed,))
    return list(compare_limits(arm, read_limits(URDF)))


def test_limits_inside_of_the_description_are_well() -> None:
    """Slower and narrower is what first runs need."""
    assert [f.level for f in one_joint(-1.0, 3.1005, 3.14)] == ['ok', 'ok']


@pytest.mark.parametrize('limits', [(-3.2, 3.0, 1.0), (-3.0, 3.2, 1.0), (-3.0, 3.0, 4.0)])
def test_limits_beyond_the_description_are_an_error(limits: tuple[float, float, float]) -> None:
    """Both sides are named, and what to lower."""
    _, finding = one_joint(*limits)
    assert finding.level == 'error'
    assert finding.subject == 'follower_left/waist'
    assert finding.expected == 'inside of -3.1 to 3.1 rad, 3.14 rad/s'


def test_joints_that_the_description_lacks_are_an_error() -> None:
    """Most often a prefix."""
    first, *_ = compare_limits(ARM, read_limits(URDF))
    assert first.level == 'error'
    assert first.found.startswith("lacks ['shoulder', 'elbow'")
