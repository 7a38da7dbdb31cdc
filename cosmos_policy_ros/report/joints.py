# SPDX-License-Identifier: Apache-2.0
"""Joints of an episode as charts: commanded and measured positions, limits and speeds."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby

from cosmos_policy_ros.data.bags.overview import Overview
from cosmos_policy_ros.data.bags.series import Series
from cosmos_policy_ros.report.charts import chart, Line, WIDE
from cosmos_policy_ros.robot import ArmSpec, GRIPPER
import numpy as np

SPEED_S = 0.05  # [s] over which a speed is taken; from one message to the next is too noisy
Arm = tuple[str, tuple[str, ...], ArmSpec | None]


def joint_charts(overview: Overview) -> str:
    """Return the charts of all arms; without a robot file there are commands only."""
    html, speeds, first = '', '', 0
    for name, joints, spec in _arms(overview):
        columns = slice(first, first + len(joints))
        first += len(joints)
        commands = overview.commands
        if commands is not None:
            commands = Series(commands.time_s, commands.values[:, columns])
        series = {'command': commands, 'measured': overview.measured.get(name)}
        known = {style: one for style, one in series.items() if one is not None}
        figures = ''.join(
            _position_chart(joint, i, known, spec, overview.seconds)
            for i, joint in enumerate(joints)
        )
        html += (
            f'<h3>{escape(name)} <span class="key command">commanded</span>'
            '<span class="key measured">measured</span></h3>'
            f'<div class="grid7">{figures}</div>'
        )
        moving = {
            style: Series(one.time_s, one.values[:, : sum(j != GRIPPER for j in joints)])
            for style, one in known.items()
        }
        speeds += _speed_chart(name, moving, spec, overview.seconds)
    if speeds:
        html += f'<h3>Speed of the fastest joint</h3><div class="grid2">{speeds}</div>'
    return html


def _arms(overview: Overview) -> list[Arm]:
    """Return name, joints and limits of every arm; the limits where the robot is known."""
    if overview.robot is not None:
        return [(arm.name, arm.action_joints, arm) for arm in overview.robot.arms]
    groups = groupby(overview.joints, key=lambda joint: joint.rpartition('/')[0])
    return [(name, tuple(j.rpartition('/')[2] for j in joints), None) for name, joints in groups]


def _position_chart(
    joint: str, column: int, series: dict[str, Series], spec: ArmSpec | None, seconds: float
) -> str:
    """Return the chart of one joint [rad; gripper 0..1]."""
    lines = [
        Line(style, style, one.time_s, one.values[:, column]) for style, one in series.items()
    ]
    limits: tuple[float, ...] = ()
    note = ''
    if spec is not None:
        limits, note = (0.0, 1.0), '0 closed … 1 open'
        if column < len(spec.joints):
            limits = spec.lower[column], spec.upper[column]
            note = f'{limits[0]:.2f} … {limits[1]:.2f} rad'
    return chart(joint, lines, seconds, note=note, limits=limits)


def _speed_chart(arm: str, series: dict[str, Series], spec: ArmSpec | None, seconds: float) -> str:
    """Return the chart of the fastest joint of an arm [rad/s]; ``series`` has no gripper."""
    speeds = {style: _speeds(one) for style, one in series.items() if len(one.time_s) > 1}
    lines = [
        Line(style, style, speed.time_s, speed.values.max(axis=1))
        for style, speed in speeds.items()
    ]
    lines = [line for line in lines if len(line.time_s)]
    if not lines:
        return ''
    notes = list(_name_fastest(speeds, spec))
    top = max(float(np.nanmax(line.values)) for line in lines)
    return chart(
        f'{arm} [rad/s]', lines, seconds, note='; '.join(notes),
        bounds=(0.0, max(1.08 * top, 0.2)), limits=spec.max_speed if spec else (), size=WIDE,
    )  # fmt: skip


def _speeds(series: Series) -> Series:
    """Return how fast the joints were over windows of ``SPEED_S``, without sign."""
    time_s = np.arange(series.time_s[0], series.time_s[-1], SPEED_S)
    rows = [np.interp(time_s, series.time_s, column) for column in series.values.T]
    speeds = np.abs(np.diff(np.stack(rows, axis=1), axis=0)) / SPEED_S
    return Series(time_s[1:], speeds)


def _name_fastest(speeds: dict[str, Series], spec: ArmSpec | None) -> Iterator[str]:
    """Yield which joint was the fastest when, as far as joints have names."""
    if spec is None:
        return
    for style, series in speeds.items():
        arm = series.values
        if arm.size:
            row, column = np.unravel_index(int(arm.argmax()), arm.shape)
            speed, limit = float(arm[row, column]), spec.max_speed[column]
            name = spec.joints[column]
            yield f'{style}: {name} {speed:.2f} of {limit:.2f} at {series.time_s[row]:.1f} s'
