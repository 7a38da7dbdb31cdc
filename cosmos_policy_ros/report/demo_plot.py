# SPDX-License-Identifier: Apache-2.0
"""The plot of a demo: what the policy expected of its candidates, and how the arms followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosmos_policy_ros.align import arm_pose, stamp_of
from cosmos_policy_ros.data.bags.files import Messages, read_topics
from cosmos_policy_ros.robot import ArmSpec, RobotSpec
from cosmos_policy_ros.topics import JOINT_COMMAND
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np
from numpy.typing import NDArray

MOST_EPISODES = 8  # side by side; more would be too small to read
GREY = '0.65'


def write_plot(path: Path, report: dict[str, Any], robot: RobotSpec) -> None:
    """Draw one column per episode: candidate values, then commanded and measured joints.

    Args:
        path: PNG file to write.
        report: Figures of the demo with the bag of every episode.
        robot: The arms.
    """
    episodes = report['episodes'][:MOST_EPISODES]
    rows, columns = 1 + len(robot.arms), len(episodes)
    figure = Figure(figsize=(1.0 + 3.6 * columns, 2.6 * rows), layout='constrained')
    axes = figure.subplots(rows, columns, sharex=True, sharey='row', squeeze=False)
    for column, episode in enumerate(episodes):
        outcome = 'success' if episode['success'] else 'no success'
        axes[0, column].set_title(f'episode {column + 1}, seed {episode["seed"]}: {outcome}')
        _draw_values(axes[0, column], episode['candidates'])
        topics = [JOINT_COMMAND.name, *robot.joint_state_topics]
        messages = read_topics(Path(episode['bag']), topics)
        for row, arm in enumerate(robot.arms, 1):
            _draw_tracking(axes[row, column], messages, arm, episode['start_ns'])
        axes[-1, column].set_xlabel('time [s]')
        axes[-1, column].set_xlim(0.0, episode['seconds'])
    axes[0, 0].set_ylabel('value of a candidate')
    axes[0, 0].set_ylim(-0.02, 1.02)
    for row, arm in enumerate(robot.arms, 1):
        axes[row, 0].set_ylabel(f'{arm.name}\n[rad; gripper 0..1]')
    for ax in axes[:2, -1]:
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize='x-small', loc='upper right')
    figure.savefig(path, dpi=110)


def _draw_values(ax: Axes, answers: list[dict[str, Any]]) -> None:
    """Draw the value of every candidate at its query; the chosen ones are joined."""
    times = [a['at_s'] for a in answers for _ in a['values']]
    values = np.array([v for a in answers for v in a['values']], dtype=np.float64)  # None is NaN
    if len(values) and not np.isfinite(values).any():
        ax.text(0.5, 0.5, 'no value: planning is off', ha='center', transform=ax.transAxes)
    ax.scatter(times, values, s=9, color=GREY, label='others')
    chosen = np.array([a['values'][a['best']] for a in answers], dtype=np.float64)
    ax.plot([a['at_s'] for a in answers], chosen, 'o-', ms=3.5, lw=1, color='C3', label='chosen')


def _draw_tracking(ax: Axes, messages: Messages, arm: ArmSpec, start_ns: int) -> None:
    """Draw commands as dashed and measurements as solid lines, one colour per joint."""
    names = [f'{arm.name}/{joint}' for joint in arm.action_joints]
    states = [m for _, m in messages[arm.joint_state_topic]]
    commands = [m for _, m in messages[JOINT_COMMAND.name]]
    measured = np.array([arm_pose(arm, m) for m in states]).reshape(-1, len(names))
    commanded = np.array([_pick(m, names) for m in commands]).reshape(-1, len(names))
    state_s = [(stamp_of(m) - start_ns) * 1e-9 for m in states]
    command_s = [(stamp_of(m) - start_ns) * 1e-9 for m in commands]
    for i, name in enumerate(names):
        color, label = f'C{i}', name.partition('/')[2]
        ax.plot(state_s, measured[:, i], lw=1, color=color, label=label)
        ax.plot(command_s, commanded[:, i], '--', lw=1, color=color, alpha=0.7)


def _pick(message: Any, names: list[str]) -> NDArray[np.float64]:
    """Return the positions of some joints of a JointState."""
    places = [message.name.index(name) for name in names]
    return np.asarray(message.position)[places]
