# SPDX-License-Identifier: Apache-2.0
"""A short campaign of faults against real processes, as the command plays it."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

from command_line import refused
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.cli import faults
from cosmos_policy_ros.types import ConfigError
from ros_domains import ros_domain

COMMAND = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()', 'faults']
KINDS = ('joint_states_silent', 'camera_frozen', 'chunk_far', 'stop_topic', 'planner_killed')


Run = tuple[dict[str, Any], subprocess.CompletedProcess[str]]


def play(folder: Path, *words: str) -> Run:
    """Play a campaign in a domain of its own; return its report and how it ended."""
    file = folder / 'faults.json'
    with ros_domain() as domain:
        done = subprocess.run(
            [*COMMAND, *words, '--json', file, '--out', folder / 'out', '--domain', str(domain)],
            capture_output=True,
            text=True,
            timeout=550,
            check=False,
        )
    assert file.is_file(), done.stdout + done.stderr
    return json.loads(file.read_text(encoding='utf-8')), done


def unsafe_cases(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cases that did not end as they should.

    Without those that held: a machine without a processor to spare does without a fault too.
    """
    held = [c for c in report['cases'] if (c['wanted'], c['reaction']) == ('ignored', 'hold')]
    return [case for case in report['cases'] if not case['passed'] and case not in held]


@pytest.mark.slow
def test_the_stack_does_what_is_right_when_something_breaks(tmp_path: Path) -> None:
    """A fault of each sort; the report has what others rely on."""
    report, done = play(tmp_path, '--kinds', *KINDS, '--quick')
    assert unsafe_cases(report) == [], done.stdout + done.stderr
    assert report['kinds'] == 1 + len(KINDS)
    assert done.returncode == (report['unsafe'] > 0)
    named = {'fault', 'moment', 'seed', 'driver', 'reaction', 'reaction_ms', 'limit_ms'}
    named |= {'max_step_rad', 'max_speed_rad_s', 'passed'}
    assert all(named <= case.keys() for case in report['cases'])
    silent = next(case for case in report['cases'] if case['fault'] == 'joint_states_silent')
    assert (silent['reaction'], silent['driver']) == ('hold', 'sim')
    assert 60 < silent['reaction_ms'] <= silent['limit_ms']
    assert '6 kinds of faults, 6 cases' in ' '.join(done.stdout.split())


@pytest.mark.slow
def test_three_minutes_of_random_faults_leave_the_stack_as_it_was(tmp_path: Path) -> None:
    """None is unsafe, and the processes hold no more memory at the end than at the beginning."""
    report, done = play(tmp_path, '--minutes', '3')
    assert unsafe_cases(report) == [], done.stdout + done.stderr
    assert len(report['cases']) > 5
    memory_mb = report['memory_mb']
    assert memory_mb['last'] < 1.2 * memory_mb['first'] + 50.0


@pytest.mark.parametrize(
    ('words', 'reason'),
    [
        (['--driver', 'robot'], '--driver robot must be one of sim, interbotix, jtc'),
        (['--seeds', '0'], '--seeds must be at least 1, got 0'),
    ],
)
def test_wrong_option_is_one_line(words: list[str], reason: str) -> None:
    """Before anything starts."""
    assert reason in refused('faults', *words)


def test_a_fault_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    """With those that do."""
    options = faults.Faults(kinds=('earthquake',), out=tmp_path / 'out')
    with pytest.raises(ConfigError, match=r"no faults \['earthquake'\]; there are none, joint_"):
        faults.run(options)
