# SPDX-License-Identifier: Apache-2.0
"""The launch files under the real launch: arguments, mistakes, namespaces, ends."""

from __future__ import annotations

from contextlib import suppress
import json
import os
from pathlib import Path
import subprocess
import time
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('launch_ros')  # ``launch`` alone would find our folder

from cosmos_policy_ros.resources import robot_file, share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.bringup import watch_ends
from cosmos_policy_ros.stack.node_list import (
    node_command,
    NodeSpec,
    PLANNER,
    RECORDER,
    SIM,
    VISUALIZER,
)
from launch import LaunchContext
from launch.actions import ExecuteProcess
from launch.events.process import ProcessExited
from launch_bench import LAUNCH, run_launch, write_prefix
from ros_domains import free_port, wait_for
from tiny import save_tiny_checkpoint

pytestmark = [pytest.mark.patient, pytest.mark.usefixtures('domain')]
OUTER = """
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace, SetParameter


def generate_launch_description():
    source = PythonLaunchDescriptionSource({file!r})
    inner = IncludeLaunchDescription(source, launch_arguments={words!r}.items())
    return LaunchDescription([GroupAction([{before}, inner])])
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Return a folder that launch finds this package in."""
    return write_prefix(tmp_path / 'prefix')


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return a checkpoint that answers at once."""
    save_tiny_checkpoint(tmp_path / 'tiny', read_robot(robot_file('aloha_sim')))
    return tmp_path / 'tiny'


def write_outer(tmp_path: Path, before: str, **words: str) -> Path:
    """Return a launch file of somebody else that includes that of the simulator."""
    file = tmp_path / 'outer.launch.py'
    text = OUTER.format(file=str(LAUNCH / 'sim.launch.py'), words=words, before=before)
    file.write_text(text, encoding='utf-8')
    return file


def press_until(place: str, states: Any, operation: str, phase: str) -> None:
    """Press a button of a console, again where it was refused, until the stack is in a phase.

    Args:
        place: Where the console listens.
        states: WebSocket of its states.
        operation: The button.
        phase: As the console shows it.
    """
    end_s, next_s = time.monotonic() + 60.0, 0.0
    while (state := json.loads(states.recv(timeout=20.0)))['phase'] != phase:
        assert time.monotonic() < end_s, (state['phase'], state['reason'], state['note'])
        if state['phase'] != 'waiting' and time.monotonic() > next_s:
            body = json.dumps({'operation': operation, 'seen': state['seen']}).encode()
            with suppress(HTTPError):  # what was shown is too old by now
                urlopen(Request(f'http://{place}/press', body), timeout=5.0).close()
            next_s = time.monotonic() + 2.0


def test_a_mistake_of_a_node_ends_the_launch_with_a_status_that_tells(prefix: Path) -> None:
    """Whoever starts it from a service or a script sees it, and no half of a stack stays."""
    with run_launch('record.launch.py', 'robot:=/nope.yaml', 'out:=/tmp', prefix=prefix) as run:
        assert run.end() == 1
        assert 'no robot file /nope.yaml' in run.text
        assert 'recorder cannot start' in run.text


def test_an_unknown_argument_is_refused_with_the_one_that_was_meant(prefix: Path) -> None:
    """Launch itself lets it pass, and the stack would run with another number."""
    with run_launch('sim.launch.py', 'candidate:=8', prefix=prefix) as run:
        assert run.end() == 1
        assert 'no launch argument candidate; is it candidates?' in run.text


def test_a_value_of_another_type_names_its_argument(prefix: Path) -> None:
    """Not only the text that is no number."""
    with run_launch('sim.launch.py', 'futures:=abc', prefix=prefix) as run:
        assert run.end() == 1
        assert 'futures:=abc must be a whole number' in run.text


@pytest.mark.parametrize(
    ('spec', 'fate'),
    [
        (VISUALIZER, 'the arms go on without it'),
        (RECORDER, 'the next recorder finishes what it was recording'),
        (PLANNER, 'without it the arms hold at last'),
    ],
)
def test_a_node_that_dies_is_told_with_what_that_means(spec: NodeSpec, fate: str) -> None:
    """Whoever only looks is no reason to fear for the arms."""
    died = ProcessExited(
        returncode=1, action=ExecuteProcess(cmd=['x']), name='x', cmd=['x'], cwd='', env={}, pid=1
    )
    with pytest.raises(ChildProcessError, match=f'{spec.name} died with status 1: {fate}'):
        watch_ends([spec])(spec)(died, LaunchContext())


def test_a_second_stack_is_refused_and_leaves_nothing_behind(
    prefix: Path, checkpoint: Path
) -> None:
    """Least of all an inference node that answers the queries of the first."""
    log = prefix / 'first.log'
    with log.open('wb') as output:
        first = subprocess.Popen(node_command(SIM, {}), stderr=output)
    try:
        wait_for(lambda: 'simulating' in log.read_text(encoding='utf-8'))
        with run_launch('sim.launch.py', f'checkpoint:={checkpoint}', prefix=prefix) as run:
            assert run.end(120.0) == 1
            assert 'sim cannot start' in run.text
            assert "/follower_left/joint_states is published by ['sim']" in run.text
        with pytest.raises(ProcessLookupError):
            os.killpg(run.process.pid, 0)
    finally:
        first.terminate()
        first.wait(30.0)


def test_an_outer_file_sets_parameters_and_a_namespace(
    prefix: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """The stack keeps its own parameters, and all of it is in the namespace."""
    before = "PushRosNamespace('cell'), SetParameter('use_sim_time', True)"
    outer = write_outer(tmp_path, before, checkpoint=str(checkpoint), namespace='robot1')
    with run_launch(outer, 'whatever:=1', prefix=prefix) as run:
        run.wait_for('/clock has the system time')
        run.wait_for('answering with', 'a query every 0.8 s', 'once enabled')
        assert '[cell.robot1.command_executor]' in run.text
        run.interrupt()
        run.interrupt()
        assert run.end() == 0
        assert 'process has died' not in run.text
        assert 'Traceback' not in run.text


def test_the_console_of_a_launch_enables_and_stops_its_robot(
    prefix: Path, checkpoint: Path
) -> None:
    """At the port and in the namespace that were given; it ends with the others."""
    pytest.importorskip('viser')
    connect = pytest.importorskip('websockets.sync.client').connect
    port = free_port()
    place = f'localhost:{port}'
    words = ('console:=true', f'console_port:={port}', 'namespace:=robot1')
    with run_launch('sim.launch.py', *words, f'checkpoint:={checkpoint}', prefix=prefix) as run:
        run.wait_for(f'the console, to look and operate: http://{place}/', 'once enabled')
        with urlopen(f'http://{place}/', timeout=20.0) as page:
            assert b'<title>console</title>' in page.read()
        with connect(f'ws://{place}/state', ping_interval=None) as states:
            press_until(place, states, 'enable', 'ready')
            press_until(place, states, 'stop', 'stopped')
        run.interrupt()
        assert run.end() == 0
        assert 'Traceback' not in run.text


def test_a_file_of_somebody_else_may_have_our_name(
    prefix: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its arguments are no mistakes of ours, and ``~`` is the home folder as in a shell."""
    monkeypatch.setenv('HOME', str(tmp_path))
    before = 'PushRosNamespace("cell")'
    outer = write_outer(tmp_path, before, checkpoint=str(checkpoint), robot='~/lab.yaml')
    outer = outer.rename(tmp_path / 'sim.launch.py')
    lab = tmp_path / 'lab.yaml'
    lab.write_text(robot_file('aloha_sim').read_text(encoding='utf-8'), encoding='utf-8')
    with run_launch(str(outer), 'world:=lab', prefix=prefix) as run:
        run.wait_for('drawing the scene of aloha_sim')
        run.interrupt()
        assert run.end() == 0


def test_without_rviz_the_rest_runs_and_a_line_says_so(prefix: Path, checkpoint: Path) -> None:
    """It is no part of ROS from wheels."""
    words = (f'checkpoint:={checkpoint}', 'rviz:=true')
    with run_launch('sim.launch.py', *words, prefix=prefix) as run:
        run.wait_for('rviz:=true, but rviz2 is not installed', 'drawing the scene of aloha_sim')
        run.interrupt()
        assert run.end() == 0


def test_rviz_opens_on_the_file_of_the_package_in_the_namespace(
    prefix: Path, checkpoint: Path
) -> None:
    """Where it is installed; here a program of that name writes what it was given."""
    index = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    (index / 'rviz2').touch()
    program, written = prefix / 'lib' / 'rviz2' / 'rviz2', prefix / 'given'
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {written}\n', encoding='utf-8')
    program.chmod(0o755)
    words = (f'checkpoint:={checkpoint}', 'rviz:=true', 'namespace:=robot1')
    with run_launch('sim.launch.py', *words, prefix=prefix) as run:
        run.wait_for('drawing the scene of aloha_sim')
        wait_for(written.exists)
        given = written.read_text(encoding='utf-8')
    assert f'-d {share_path("config", "policy.rviz")}' in given
    assert '__ns:=/robot1' in given
    assert '-r /tf:=tf' in given  # the poses of the links come from the namespace too
