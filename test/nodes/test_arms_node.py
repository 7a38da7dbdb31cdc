# SPDX-License-Identifier: Apache-2.0
"""Arms moved by name, as a person does it, on the stand-ins for the drivers of an ALOHA."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import shutil
import subprocess
import sys
import time

import numpy as np
from numpy.typing import NDArray
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('interbotix_xs_msgs')

from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.stand_ins.xs_arm import SLEEP
from node_bench import ThreadedBench
import rclpy
from ros_domains import ros_domain
from test_interbotix import Arms, ROBOT_FILE, START

COMMAND = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()', 'arms']
LONG_S = 240.0  # a process may take to start and to move where others use the processor
ROBOT = read_robot(ROBOT_FILE)


class Lab(ThreadedBench):
    """Both arms with their drivers, watched."""

    def __init__(self, pose: tuple[float, ...]) -> None:
        """Start the drivers at a pose of all motors."""
        rclpy.init()
        self.arms = Arms(pose)
        self.seen: list[tuple[float, NDArray[np.float64]]] = []  # time [s], both arms' motors
        self.arms.create_timer(0.01, self._look)
        super().__init__(self.arms)

    def _look(self) -> None:
        poses = [plant.pose.copy() for plant in self.arms.plants.values()]
        self.seen.append((time.monotonic(), np.concatenate(poses)))

    def move(self, out: Path, *words: str) -> tuple[int, str]:
        """Run the command and return its exit status and what it printed."""
        command = [*COMMAND, *words, '--yes', '--out', str(out)]
        if '--robot' not in words:
            command += ['--robot', str(ROBOT_FILE)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=False)
        return done.returncode, done.stdout + done.stderr

    def fastest(self) -> float:
        """Return the highest speed of any arm motor, over tenths of a second [rad/s]."""
        times = np.array([at for at, _ in self.seen])
        poses = np.array([pose for _, pose in self.seen])[:, [*range(6), *range(7, 13)]]
        grid = np.arange(times[0], times[-1], 0.1)
        moved = np.stack([np.interp(grid, times, column) for column in poses.T], axis=1)
        return float(np.abs(np.diff(moved, axis=0)).max() / 0.1)

    def registers(self, name: str) -> list[int]:
        """Return a register of all motors of the left arm."""
        return [
            motor.registers[name] for motor in self.arms.motors['follower_left'].motors.values()
        ]


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Return a lab whose arms are at a pose, by default the start pose."""
    with ros_domain():
        lab = Lab(getattr(request, 'param', START))
        yield lab
        lab.close()


@pytest.mark.parametrize('lab', [(*SLEEP, -0.3)], indirect=True)
def test_arms_in_the_sleep_pose_of_the_vendor_come_home_slowly(lab: Lab, tmp_path: Path) -> None:
    """Their own motors bring them into their range, then the executor to the start pose."""
    status, text = lab.move(tmp_path, 'home')
    assert status == 0, text
    assert 'arrived; farthest off is' in text
    for plant in lab.arms.plants.values():
        assert plant.pose[:6] == pytest.approx(ROBOT.arms[0].start[:6], abs=0.01)
    assert lab.fastest() < 0.4
    entering = [pose[1] for _, pose in lab.seen if -2.04 < pose[1] < -1.86]
    assert len(entering) > 100  # 0.18 rad at 0.1 rad/s, seen at 100 Hz
    assert lab.registers('Profile_Velocity') == [0] * 7
    assert lab.registers('Torque_Enable') == [1] * 7


@pytest.mark.slow
def test_parked_arms_lose_their_torque_once_they_are_there(lab: Lab, tmp_path: Path) -> None:
    """And not before; nor faster than they were told to go."""
    status, text = lab.move(tmp_path, 'park', '--joint-speed', '0.8')
    assert status == 0, text
    assert 'torque is off: /follower_left, /follower_right' in text
    for plant in lab.arms.plants.values():
        assert plant.pose[:6] == pytest.approx((0.0, -1.83, 1.45, 0.0, -1.6, 0.0), abs=0.01)
    assert lab.registers('Torque_Enable') == [0] * 7
    assert lab.fastest() < 1.1


def test_jog_moves_one_joint_and_back(lab: Lab, tmp_path: Path) -> None:
    """What was measured is shown, and a person looks at the arm."""
    words = ('--joint', 'follower_right/waist', '--step', '-0.1')
    status, text = lab.move(tmp_path, 'jog', *words)
    assert status == 0, text
    assert 'follower_right/waist was sent -0.100 and measured -0.100' in text
    poses = np.array([pose for _, pose in lab.seen])
    assert np.ptp(poses, axis=0)[7] == pytest.approx(0.1, abs=0.005)
    assert np.delete(np.ptp(poses, axis=0), [6, 7, 13]).max() < 0.005
    assert poses[-1][7] == pytest.approx(0.0, abs=0.005)


@pytest.mark.slow
def test_measured_scale_of_the_grippers_goes_into_the_robot_file(lab: Lab, tmp_path: Path) -> None:
    """A file made for other fingers is corrected, with its comments."""
    wrong = tmp_path / 'wrong.yaml'
    shutil.copy(ROBOT_FILE.with_name('aloha_scene.xml'), tmp_path)
    text = ROBOT_FILE.read_text(encoding='utf-8')
    wrong.write_text(text.replace('state_open: 0.058 ', 'state_open: 0.050 '), encoding='utf-8')
    status, said = lab.move(tmp_path / 'out', 'calibrate-grippers', '--robot', str(wrong))
    assert status == 0, said
    assert 'follower_left: closed 0.01844 -> 0.018' in said
    measured = read_robot(wrong).arms[0].gripper
    assert measured is not None
    assert measured.state_open == pytest.approx(0.058, abs=3e-4)
    assert measured.state_closed == pytest.approx(0.01844, abs=3e-4)
    assert measured.state_between == ()
    assert '# m, finger position when open' in wrong.read_text(encoding='utf-8')
