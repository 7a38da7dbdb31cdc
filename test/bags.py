# SPDX-License-Identifier: Apache-2.0
"""A rollout of 2 s made by hand, for tests: what is in it stands in the constants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosmos_policy_ros.data.bags.writer import BagWriter, typestore
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
import numpy as np

ROBOT = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
START_NS = 1_700_000_000_000_000_000
SECONDS = 2.0
SILENT_S = (0.8, 1.4)  # the high camera sends nothing then
CANDIDATES = ((0.2, 0.3), (0.4, 0.1))  # values of two answers, at 0.2 s and 0.6 s
CHOSEN = (1, 0)


def write_rollout(path: Path, **metadata: str) -> None:
    """Write the rollout; metadata are added to what it has anyway."""
    details = {'source': 'rollout', 'robot': 'aloha_sim', 'seed': '7', 'success': 'true'}
    with BagWriter(path, {**details, 'task': 'lift <the> cube', **metadata}) as bag:
        bag.write_text('/task', 'lift <the> cube', START_NS)
        for tick in range(round(SECONDS * 100)):
            at_s = tick / 100
            stamp_ns = START_NS + tick * 10_000_000
            write_joint_states(bag, ROBOT, pose(at_s), stamp_ns)
            if tick % 2 == 0:
                bag.write_joints('/joint_command', ROBOT.joint_names, pose(at_s), stamp_ns)
            if tick % 10 == 0:
                bag.write_flag('/sim/success', at_s >= 1.0, stamp_ns)
            if tick % 8 == 0:
                write_images(bag, at_s, stamp_ns)
        for i, values in enumerate(CANDIDATES):
            stamp_ns = START_NS + round((0.2 + 0.4 * i) * 1e9)
            write_answer(bag, values, CHOSEN[i], stamp_ns)
            write_report(bag, i + 1, stamp_ns + 10_000_000)


def pose(at_s: float) -> np.ndarray:
    """Return the (14,) pose at a time: the left waist turns at 0.5 rad/s, the rest stands."""
    numbers = ROBOT.start.astype(np.float64)
    numbers[0] = 0.5 * at_s
    return numbers


def write_joint_states(bag: BagWriter, robot: RobotSpec, numbers: np.ndarray, ns: int) -> None:
    """Write both arms' joint states in the units of the driver."""
    for arm, part in zip(robot.arms, np.split(numbers, 2), strict=True):
        finger = arm.gripper.to_state(part[-1])
        bag.write_joints(arm.joint_state_topic, arm.state_joints, [*part[:-1], finger], ns)


def write_images(bag: BagWriter, at_s: float, stamp_ns: int) -> None:
    """Write an image per camera that gets brighter with time."""
    for camera in ROBOT.cameras:
        if camera.name == 'high' and SILENT_S[0] < at_s < SILENT_S[1]:
            continue
        image = np.full((24, 32, 3), round(100 * at_s), np.uint8)
        bag.write_image(camera.topic, image, stamp_ns)


def write_answer(bag: BagWriter, values: tuple[float, ...], best: int, stamp_ns: int) -> None:
    """Write the candidates of one query, and the chosen one as action chunk."""
    types = typestore().types
    names = [*ROBOT.joint_names, 'time_from_start', 'values', 'future_proprio']
    counts = [1] * 15 + [1, 14]
    offsets = 4 * np.cumsum([0, *counts[:-1]])
    field = types['sensor_msgs/msg/PointField']
    fields = [
        field(name, int(offset), 7, count)
        for name, offset, count in zip(names, offsets, counts, strict=True)
    ]
    table = np.zeros((len(values), 3, 30), '<f4')
    table[:, :, 14] = [0.0, 0.08, 0.16]
    for i, value in enumerate(values):
        table[i, :, :14] = 0.1 * i
        table[i, :, 15] = value
    head = header(stamp_ns)
    message = types['sensor_msgs/msg/PointCloud2'](
        head, len(values), 3, fields, False, 120, 360, table.view(np.uint8).reshape(-1), True
    )
    bag.write('/policy/candidates', 'sensor_msgs/msg/PointCloud2', message, stamp_ns)
    none = np.zeros(0)
    points = [
        types['trajectory_msgs/msg/JointTrajectoryPoint'](
            row.astype(np.float64), none, none, none,
            types['builtin_interfaces/msg/Duration'](0, 80_000_000 * i),
        )
        for i, row in enumerate(table[best, :, :14])
    ]  # fmt: skip
    chunk = types['trajectory_msgs/msg/JointTrajectory'](head, list(ROBOT.joint_names), points)
    bag.write('/policy/action_chunk', 'trajectory_msgs/msg/JointTrajectory', chunk, stamp_ns)


def write_report(bag: BagWriter, chunks: int, stamp_ns: int) -> None:
    """Write what the executor says after so many chunks."""
    types = typestore().types
    figures = {'mode': 'playing', 'reason': '', 'chunks': str(chunks), 'seam_jump_rad': '0.125'}
    pairs = [types['diagnostic_msgs/msg/KeyValue'](k, v) for k, v in figures.items()]
    status = types['diagnostic_msgs/msg/DiagnosticStatus'](0, 'command_executor', '', '', pairs)
    message = types['diagnostic_msgs/msg/DiagnosticArray'](header(stamp_ns), [status])
    bag.write('/diagnostics', 'diagnostic_msgs/msg/DiagnosticArray', message, stamp_ns)


def header(stamp_ns: int) -> Any:
    """Return a header."""
    types = typestore().types
    stamp = types['builtin_interfaces/msg/Time'](*divmod(stamp_ns, 10**9))
    return types['std_msgs/msg/Header'](stamp, '')
