# SPDX-License-Identifier: Apache-2.0
"""Physics runs where nothing can be drawn, and drawing says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import os
from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.types import ConfigError

sim = AlohaSim()
sim.reset(0)
sim.step(sim.proprio)
print(sim.data.time > 0.0, os.environ['MUJOCO_GL'])
try:
    sim.render('high')
except ConfigError as error:
    print(error)
"""


def test_physics_needs_no_opengl() -> None:
    """A kind of OpenGL that does not exist stands for one that is not installed."""
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT],
        capture_output=True,
        text=True,
        env=os.environ | {'MUJOCO_GL': 'none_such'},
        check=True,
    )
    physics, drawing = done.stdout.splitlines()
    assert physics == 'True none_such'
    assert drawing.startswith('the simulator cannot draw its cameras (MUJOCO_GL=none_such: ')
    assert drawing.endswith('unset MUJOCO_GL, or set it to egl')


def test_nothing_needs_to_be_said_to_draw_without_a_display() -> None:
    """Whatever is imported first: a node that watches for collisions loads MuJoCo before sim."""
    kept = {name: at for name, at in os.environ.items() if name not in ('MUJOCO_GL', 'DISPLAY')}
    done = subprocess.run(
        [sys.executable, '-c', 'import cosmos_policy_ros.control.safety\n' + SCRIPT],
        capture_output=True,
        text=True,
        env=kept,
        check=True,
    )
    assert done.stdout == 'True egl\n'


def test_help_that_nobody_reads_to_its_end_ends_quietly() -> None:
    """As with ``| head``; and no OpenGL is needed for it either."""
    code = 'from cosmos_policy_ros.cli import main; main()'
    with subprocess.Popen(
        [sys.executable, '-c', code, '--help'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {'MUJOCO_GL': 'none_such'},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b''
    assert process.returncode == 0


def test_an_empty_kind_of_opengl_is_none() -> None:
    """``export MUJOCO_GL=`` unsets it for a person; MuJoCo would look for a display."""
    code = 'import cosmos_policy_ros.sim, os; print(os.environ["MUJOCO_GL"])'
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        env=os.environ | {'MUJOCO_GL': ''},
        check=True,
    )
    assert done.stdout == 'egl\n'


def test_output_that_cannot_be_written_is_one_line() -> None:
    """A full disk stands behind a redirection."""
    code = 'from cosmos_policy_ros.cli import main; main()'
    with open('/dev/full', 'w') as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, '-c', code, 'doctor', '--help'],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        'cosmos-policy: the output cannot be written: No space left on device; '
        'send it to another place\n'
    )


def test_a_command_runs_where_its_streams_are_closed() -> None:
    """Nobody reads it; no file gets the number of a stream."""
    code = 'from cosmos_policy_ros.cli import main; main()'
    closed = 'exec "$@" <&- >&- 2>&-'
    words = [sys.executable, '-c', code, 'doctor', '--help']
    assert subprocess.run(['bash', '-c', closed, 'bash', *words], check=False).returncode == 0


def test_a_table_is_written_where_there_are_only_ascii_signs() -> None:
    """Its shortened words have others, and so may a name in an error, which stays whole."""
    code = 'import sys; from cosmos_policy_ros import cli; cli._open_streams(); '
    code += 'print("ep\u2026"); print("ep\u2026", file=sys.stderr)'
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        env=os.environ | {'PYTHONIOENCODING': 'ascii'},
        check=True,
    )
    assert done.stdout == b'ep?\n'
    assert done.stderr == b'ep\\u2026\n'
