# SPDX-License-Identifier: Apache-2.0
"""A mistake that a user can fix ends a node with one clear line and a status of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import signal
import subprocess
import sys

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack.node_list import MISTAKE
from node_bench import ros_node
from sensor_msgs.msg import JointState
from tiny import save_tiny_checkpoint

pytestmark = pytest.mark.patient

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
ROBOT = read_robot(ROBOT_FILE)


def start(node: str, *parameters: str) -> tuple[int, list[str]]:
    """Run a node to its end; return the exit status and the lines it wrote."""
    words = [word for p in parameters for word in ('-p', p)]
    done = subprocess.run(
        [sys.executable, '-m', f'cosmos_policy_ros.nodes.{node}', '--ros-args', *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()


def expect_one_line(result: tuple[int, Sequence[str]], *words: str) -> None:
    """Check for the exit status of a mistake and one line with all the words."""
    status, lines = result
    assert status == MISTAKE, lines
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]


def test_missing_checkpoint(tmp_path: Path) -> None:
    """The folder and what it should hold are named."""
    result = start('inference_node', f'robot:={ROBOT_FILE}', f'checkpoint:={tmp_path}/none')
    expect_one_line(result, f'no checkpoint folder {tmp_path}/none', 'policy.json')


def test_logs_of_ros_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a service without a home folder, started by a launch file."""
    monkeypatch.setenv('ROS_LOG_DIR', '/proc/x')
    expect_one_line(start('status_node'), 'ROS 2 does not start', "'/proc/x'", 'doctor')


def test_folder_that_cannot_be_written() -> None:
    """Nobody, root included, makes a folder in /sys."""
    result = start('operator_node', f'robot:={ROBOT_FILE}', 'out:=/sys/none')
    expect_one_line(result, '/sys/none', 'choose another place')


def test_checkpoint_of_another_camera(tmp_path: Path) -> None:
    """Both sides are named."""
    cameras = ('left_wrist', 'right_wrist', 'low')
    save_tiny_checkpoint(tmp_path, ROBOT, cameras=cameras, committed_rows=2)  # without a hint
    result = start('inference_node', f'robot:={ROBOT_FILE}', f'checkpoint:={tmp_path}')
    expect_one_line(result, 'disagree on cameras', "'low'", "'high'")


def test_second_simulator_on_one_domain() -> None:
    """The topic and the node that has it are named."""
    robot = f'robot:={ROBOT_FILE}'
    words = ['--ros-args', '-p', robot, '-p', 'discovery_s:=0.0']
    command = [sys.executable, '-m', 'cosmos_policy_ros.nodes.sim_node', *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as first:
        assert first.stderr is not None
        assert b'simulating' in first.stderr.readline()
        result = start('sim_node', robot)
        first.send_signal(signal.SIGINT)
        assert first.wait(30) == 0
    expect_one_line(result, 'a second stack', '/follower_left/joint_states', "['sim']")


def test_fake_arms_beside_a_robot(tmp_path: Path) -> None:
    """Whoever moves the arms of that robot would take them for them."""
    with ros_node('arm_driver') as driver:
        driver.create_publisher(JointState, '/follower_right/joint_states', 10)
        result = start('fake_sensor_node', f'robot:={ROBOT_FILE}', f'out:={tmp_path}')
    expect_one_line(result, 'a second stack', '/follower_right/joint_states', "['arm_driver']")


def test_robot_file_with_an_unknown_key(tmp_path: Path) -> None:
    """The key and the known ones are named."""
    path = tmp_path / 'robot.yaml'
    path.write_text(ROBOT_FILE.read_text(encoding='utf-8') + 'colour: red\n', encoding='utf-8')
    expect_one_line(start('planner_node', f'robot:={path}'), "['colour']", 'control_rate_hz')


def test_seam_that_does_not_exist() -> None:
    """The known ones are named, even where leader arms are followed and no chunk is played."""
    result = start('command_executor', f'robot:={ROBOT_FILE}', 'teleop:=true', 'seam:=weld')
    expect_one_line(result, "seam 'weld' does not exist", "['blend', 'committed', 'official']")


def test_camera_that_the_simulator_does_not_have(tmp_path: Path) -> None:
    """Both sides are named."""
    path = tmp_path / 'robot.yaml'
    text = ROBOT_FILE.read_text(encoding='utf-8').replace('name: high', 'name: low')
    path.write_text(text, encoding='utf-8')
    expect_one_line(start('sim_node', f'robot:={path}'), "'high'", "'low'")


def test_unknown_simulated_task() -> None:
    """The known tasks are named."""
    result = start('sim_node', f'robot:={ROBOT_FILE}', 'task:=fly')
    expect_one_line(result, "no simulated task 'fly'", 'transfer_cube')


def test_unknown_start_states() -> None:
    """The known ones are named."""
    result = start('sim_node', f'robot:={ROBOT_FILE}', 'states:=easy', 'discovery_s:=0.0')
    expect_one_line(result, "no start states 'easy'", 'hard')


def test_parameter_out_of_range() -> None:
    """The parameter, its range and its meaning are named."""
    result = start('planner_node', f'robot:={ROBOT_FILE}', 'replan_s:=-1.0')
    expect_one_line(result, 'replan_s', 'from 0.02 to 60.0', 'Time from one query to the next')


def test_unknown_aggregation() -> None:
    """The known rules are named."""
    result = start('planner_node', f'robot:={ROBOT_FILE}', 'aggregation:=median')
    expect_one_line(result, "no aggregation 'median'", 'majority_mean')


def test_mistyped_parameter() -> None:
    """The parameter and the known ones are named."""
    result = start('planner_node', f'robot:={ROBOT_FILE}', 'replan:=1.0', 'discovery_s:=0.0')
    status, lines = result
    assert status == MISTAKE
    expect_one_line((status, lines[-1:]), "['replan']", 'replan_s')
