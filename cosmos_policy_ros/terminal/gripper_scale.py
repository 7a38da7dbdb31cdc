# SPDX-License-Identifier: Apache-2.0
"""Measured gripper scales in a robot file: only their numbers change, comments stay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.types import ConfigError
import yaml

SAME = 0.01  # of the stroke: a scale that differs by less is the same
Scales = Mapping[str, Mapping[str, Any]]  # arm -> key of its gripper -> value, from JSON


def find_changes(robot: RobotSpec, scales: Scales) -> list[str]:
    """Return a line for every arm whose measured scale differs from the robot file's.

    Args:
        robot: What the robot file says.
        scales: Measured ones.
    """
    lines = []
    for arm in robot.arms:
        if arm.gripper is None or arm.name not in scales:
            continue
        new, old = scales[arm.name], arm.gripper
        stroke = abs(old.state_open - old.state_closed)
        points = [(0.0, new['state_closed']), *new['state_between'], (1.0, new['state_open'])]
        worst = max(abs(position - old.to_state(opening)) for opening, position in points)
        if worst > SAME * stroke:
            lines.append(
                f'{arm.name}: closed {old.state_closed} -> {new["state_closed"]}, open '
                f'{old.state_open} -> {new["state_open"]}, off by up to '
                f'{worst / stroke:.0%} of the stroke'
            )
    return lines


def scale_lines(scales: Scales) -> list[str]:
    """Return the lines of a robot file that have the scales."""
    lines = []
    for arm, scale in scales.items():
        lines.append(f'{arm}, gripper:')
        lines += [
            f'  {key}: {_text(value)}' for key, value in scale.items() if value not in ((), [])
        ]
    return lines


def write_scales(path: Path, scales: Scales) -> None:
    """Write scales into a robot file.

    Args:
        path: Robot file.
        scales: Measured ones.

    Raises:
        ConfigError: The file would not be one any more, or has a linkage or shared parts, which a
            person has to change.
        OSError: It cannot be written.
    """
    text = path.read_text(encoding='utf-8')
    root = yaml.compose(text)
    edits: dict[tuple[int, int], str] = {}  # span of characters -> new text
    for arm in _get(root, 'arms').value:
        name = _get(arm, 'name').value
        if name not in scales:
            continue
        gripper = _get(arm, 'gripper')
        if _find(gripper, 'linkage') is not None:
            msg = f'the linkage of {name} gives its scale; correct its lengths'
            raise ConfigError(msg)
        for key, measured in scales[name].items():
            value = tuple(measured) if isinstance(measured, list) else measured
            span, replacement = _edit(text, gripper, key, value)
            if edits.setdefault(span, replacement) != replacement:
                msg = f'{name} shares its gripper with another arm'
                raise ConfigError(msg)
    for (begin, end), replacement in sorted(edits.items(), reverse=True):
        text = text[:begin] + replacement + text[end:]
    with whole_file(path) as partial:
        partial.write_text(text, encoding='utf-8')
        read_robot(partial)


def _edit(text: str, gripper: Any, key: str, value: Any) -> tuple[tuple[int, int], str]:
    """Return which characters to replace by which, so that a key of a gripper has a value.

    A table without rows is no key at all.
    """
    node = _find(gripper, key)
    if node is not None and value == ():
        name = next(name for name, _ in gripper.value if name.value == key)
        begin = text.rindex('\n', 0, name.start_mark.index)
        return (begin, _line_end(text, node.end_mark.index - 1)), ''
    if node is not None:
        return (node.start_mark.index, node.end_mark.index), _text(value)
    end = _get(gripper, 'state_open').end_mark.index
    if value == ():
        return (end, end), ''
    if gripper.flow_style:
        return (end, end), f', {key}: {_text(value)}'
    end, indent = _line_end(text, end), ' ' * gripper.start_mark.column
    return (end, end), f'\n{indent}{key}: {_text(value)}'


def _line_end(text: str, index: int) -> int:
    """Return where the line of a character ends."""
    end = text.find('\n', index)
    return len(text) if end < 0 else end


def _find(mapping: yaml.Node, key: str) -> Any:
    """Return the node of a key, None where there is none."""
    return next((value for name, value in mapping.value if name.value == key), None)


def _get(mapping: Any, key: str) -> Any:
    """Return the node of a key.

    Raises:
        ConfigError: There is none.
    """
    node = _find(mapping, key)
    if node is None:
        msg = f'line {mapping.start_mark.line + 1} has no {key}'
        raise ConfigError(msg)
    return node


def _text(value: Any) -> str:
    """Return a number or a table as YAML."""
    if isinstance(value, int | float):
        return str(value)
    return '[' + ', '.join(f'[{opening}, {position}]' for opening, position in value) + ']'
