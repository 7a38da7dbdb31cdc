# SPDX-License-Identifier: Apache-2.0
"""Launch files of this package under the real ``launch``, where that can be imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import os
from pathlib import Path
import signal
import stat
import subprocess
import sys
import time

from cosmos_policy_ros.resources import PACKAGE

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / 'launch'
# What ``ros2 launch`` does with a file and its arguments.
RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
file, *words = sys.argv[1:]
service = LaunchService(argv=words)
given = [tuple(word.split(':=', 1)) for word in words]
source = PythonLaunchDescriptionSource(file)
included = IncludeLaunchDescription(source, launch_arguments=given)
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
"""


def write_prefix(folder: Path) -> Path:
    """Return a folder that launch takes for the one this package is installed in."""
    index = folder / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    (index / PACKAGE).touch()
    programs = folder / 'lib' / PACKAGE
    programs.mkdir(parents=True)
    for module in (ROOT / PACKAGE / 'nodes').glob('[a-z]*.py'):
        program = programs / module.stem
        command = f'exec {sys.executable} -m {PACKAGE}.nodes.{module.stem} "$@"'
        program.write_text(f'#!/bin/sh\n{command}\n', encoding='utf-8')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


class RunningLaunch:
    """A launch file that runs.

    Attributes:
        process: The process of launch.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Follow a process.

        Args:
            process: The process, the first of its group.
            log: Its output.
        """
        self.process, self._log = process, log

    @property
    def text(self) -> str:
        """What it and its nodes wrote until now."""
        return self._log.read_text(encoding='utf-8', errors='replace')

    def wait_for(self, *words: str, timeout_s: float = 120.0) -> None:
        """Wait until all the words were written."""
        end_s = time.monotonic() + timeout_s
        while not all(word in self.text for word in words):
            assert time.monotonic() < end_s, self.text
            assert self.process.poll() is None, self.text
            time.sleep(0.05)

    def interrupt(self) -> None:
        """Send what Ctrl-C sends: to launch and to all its nodes."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self, timeout_s: float = 60.0) -> int:
        """Wait for the end and return the exit status."""
        return self.process.wait(timeout_s)


@contextmanager
def run_launch(file: str | Path, *words: str, prefix: Path) -> Iterator[RunningLaunch]:
    """Run a launch file, and leave none of its processes behind.

    Args:
        file: Name in ``launch/``, or a path.
        words: Arguments such as ``candidates:=2``.
        prefix: Folder of ``write_prefix``, which keeps the output too.
    """
    log = prefix / f'{time.monotonic_ns()}.log'
    paths = {'AMENT_PREFIX_PATH': str(prefix), 'ROS_LOG_DIR': str(prefix / 'ros_logs')}
    with log.open('wb') as output:
        process = subprocess.Popen(
            [sys.executable, '-c', RUN, str(LAUNCH / file), *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | paths,
            start_new_session=True,
        )
    try:
        yield RunningLaunch(process, log)
    finally:
        signal_group(process, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20.0)
        signal_group(process, signal.SIGKILL)


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to what is left of a process group."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
