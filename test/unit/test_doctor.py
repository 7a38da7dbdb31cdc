# SPDX-License-Identifier: Apache-2.0
"""The doctor names what is wrong with a machine and what to do, and is content with a good one."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Mapping
import errno
import json
from pathlib import Path
import resource
import shutil
import sys
import tempfile

from cosmos_policy_ros.cli.doctor import Doctor, run
from cosmos_policy_ros.finding import Finding
from cosmos_policy_ros.report import doctor
import pytest

Usage = namedtuple('Usage', 'total used free')


def by_check(findings: Iterator[Finding]) -> dict[str, Finding]:
    """Return findings by what was looked at."""
    return {finding.check: finding for finding in findings}


def set_limits(monkeypatch: pytest.MonkeyPatch, limits: Mapping[int, int]) -> None:
    """Let this process have some limits, and none of the others."""
    monkeypatch.setattr(resource, 'getrlimit', lambda kind: (limits.get(kind, -1), -1))


def test_quick_examination_is_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines for people, the same as JSON."""
    pytest.importorskip('rclpy')
    monkeypatch.delenv('RMW_IMPLEMENTATION', raising=False)
    file = tmp_path / 'doctor.json'
    assert run(Doctor(quick=True, json=file)) == 0
    report = json.loads(file.read_text(encoding='utf-8'))
    assert report['wrong'] == 0
    subjects = {finding['subject'] for finding in report['findings']}
    assert {'machine', 'disk', 'graphics', 'packages', 'ROS 2', 'shared memory'} <= subjects
    shown = capsys.readouterr().out
    assert f'✓ Python: {sys.version.split()[0]} ({sys.executable})' in shown
    assert f'{len(report["findings"])} things looked at, 0 wrong' in shown


def test_full_disk_and_small_shared_memory_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container has 64 MB of shared memory unless it is given more."""
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: Usage(64e6, 4e6, 60e6))
    assert by_check(doctor.examine_machine())['here'].level == 'warning'
    size = by_check(doctor.examine_shared_memory())['size']
    assert (size.found, size.level) == ('60 of 64 MB free', 'warning')
    assert size.advice.startswith('docker run --shm-size=1g')


def test_no_folder_for_temporary_files_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is read-only; nothing that needs one is tried then."""

    def refuse() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, 'gettempdir', refuse)
    found = by_check(doctor.examine_machine())['temporary files']
    assert (found.found, found.level) == ('no folder that can be written', 'error')
    assert 'TMPDIR' in found.advice
    assert not list(doctor.examine_messages())


def test_a_user_without_real_time_rights_is_told_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What ulimit -r and -l show."""
    limits = {resource.RLIMIT_RTPRIO: 0, resource.RLIMIT_MEMLOCK: 8_000_000}
    monkeypatch.setattr(doctor.os, 'geteuid', lambda: 1000)
    set_limits(monkeypatch, limits)
    findings = by_check(doctor.examine_machine())
    assert (findings['priority'].found, findings['priority'].level) == ('0', 'warning')
    assert '/etc/security/limits.conf' in findings['priority'].advice
    assert findings['locked memory'].found == '8 MB'


def test_limits_of_a_shell_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ulimit -n and -v show."""
    limits = {resource.RLIMIT_NOFILE: 64, resource.RLIMIT_AS: 3_000_000_000}
    set_limits(monkeypatch, limits)
    found = by_check(doctor.examine_machine())
    assert (found['open files'].found, found['open files'].level) == ('64', 'warning')
    assert 'ulimit -n' in found['open files'].advice
    memory = found['memory of a process']
    assert (memory.found, memory.expected, memory.level) == ('3.0 GB', 'unlimited', 'warning')


def test_settings_that_keep_nodes_apart_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or that let strangers in."""
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'OFF')
    monkeypatch.setenv('ROS_STATIC_PEERS', '192.168.0.7')
    monkeypatch.setenv('ROS_LOCALHOST_ONLY', '1')
    levels = {check: f.level for check, f in by_check(doctor._find_discovery()).items()}
    assert levels == {
        'ROS_DOMAIN_ID': 'ok', 'range': 'warning', 'peers': 'warning',
        'ROS_LOCALHOST_ONLY': 'warning',
    }  # fmt: skip


@pytest.mark.parametrize(('given', 'level'), [('1', 'ok'), ('', 'warning')])
def test_humble_keeps_to_this_machine_by_its_own_variable(
    monkeypatch: pytest.MonkeyPatch, given: str, level: str
) -> None:
    """The range of later ones means nothing to it, and would seem to keep strangers out."""
    monkeypatch.setenv('ROS_DISTRO', 'humble')
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    monkeypatch.setenv('ROS_LOCALHOST_ONLY', given)
    found = by_check(doctor._find_discovery())
    assert found.keys() == {'ROS_DOMAIN_ID', 'ROS_LOCALHOST_ONLY'}
    assert found['ROS_LOCALHOST_ONLY'].level == level


def test_no_ros_is_an_error_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of ROS 2 is not asked for then."""
    error = "ModuleNotFoundError: No module named 'rclpy'"
    monkeypatch.setattr(doctor, '_probe', lambda _: ('', error))
    monkeypatch.setattr('cosmos_policy_ros.stack.running.find_spec', lambda _: None)
    [finding] = doctor.examine_ros()
    assert (finding.found, finding.level) == (error, 'error')
    assert finding.advice.startswith('there is no rclpy for')


def test_a_broken_ros_is_named_by_its_first_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """What rclpy says after it is a long address for everybody."""
    error = 'ImportError: librcl_action.so: cannot open shared object file: No such file'
    code = f'raise ImportError("""{error.partition(": ")[2]}\nThe C extension is there""")'
    monkeypatch.setattr(doctor, 'ROS_PROBE', code)
    [finding] = doctor.examine_ros()
    assert finding.found == error
    assert finding.advice.startswith('librcl_action.so of ROS 2 is not found; source its setup')


def test_a_domain_that_is_none_and_an_empty_middleware(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is no number; the second is no other middleware."""
    pytest.importorskip('rclpy')
    monkeypatch.setenv('ROS_DOMAIN_ID', 'robot')
    monkeypatch.setenv('RMW_IMPLEMENTATION', '')
    monkeypatch.setenv('ROS_LOG_DIR', '/proc/x')
    findings = by_check(doctor.examine_ros())
    assert findings['ROS_DOMAIN_ID'].level == 'error'
    assert findings['middleware'].level == 'ok'
    assert findings['logs'].found == '/proc/x, not writable'


@pytest.mark.parametrize(
    ('given', 'level'), [('', 'ok'), ('101', 'ok'), ('220', 'warning'), ('233', 'error')]
)
def test_a_domain_on_which_a_robot_may_run_is_no_error(
    given: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though simulated robots are not put there."""
    monkeypatch.setenv('ROS_DOMAIN_ID', given)
    assert by_check(doctor._find_discovery())['ROS_DOMAIN_ID'].level == level


@pytest.mark.slow
def test_messages_arrive_between_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three cameras and two arms are heard, but not by a robot that runs."""
    pytest.importorskip('rclpy')
    from node_bench import ros_node, SteppedBench
    from sensor_msgs.msg import JointState

    states: list[JointState] = []
    with ros_node('robot') as robot:
        robot.create_subscription(JointState, '/follower_left/joint_states', states.append, 10)
        heard = list(doctor.examine_messages())
        SteppedBench(robot).spin(0.2)
    assert not states
    assert [finding.check for finding in heard] == [
        '/follower_left/joint_states', '/follower_right/joint_states',
        '/high/image_raw', '/left_wrist/image_raw', '/right_wrist/image_raw',
    ]  # fmt: skip
    assert all(finding.found.endswith(' Hz') for finding in heard)
