# SPDX-License-Identifier: Apache-2.0
"""What a recording has that can be read and that hardly anybody means: told in one line each.

Rows of other labs carry no units and do not say what their actions are. Poses of a hand, changes
of a joint, degrees and a gripper in metres are as many numbers as joint targets and openings.
"""

from __future__ import annotations

from collections.abc import Iterator

from cosmos_policy_ros.data.reading import note
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import Episode
import numpy as np

FOLLOWED_RAD = 0.5  # between an action and its joint, by the median of an episode: none lags so
WORN = (-0.2, 1.3)  # openings of a gripper whose scale is a little off
PUSHED = 0.1  # share of the rows in which what a finger runs into may push it farther
NARROW, MOVED = 0.1, 0.01  # opening below which one that moves by more may be in metres
SQUEEZED = 0.02  # by which width to height may differ from that of the camera


def note_oddities(episode: Episode, robot: RobotSpec, where: str) -> None:
    """Log what is odd about an episode, each thing once for all episodes of a place.

    Args:
        episode: What was read.
        robot: What it was read for.
        where: Folder or data set.
    """
    of_joints = (_find_unfollowed, _find_other_openings)
    for find in (*(of_joints if robot.actions == 'joint_targets' else ()), _find_squeezed):
        for told in find(episode, robot):
            note(where, told)


def _find_unfollowed(episode: Episode, robot: RobotSpec) -> Iterator[str]:
    """Yield that actions are no targets of the joints that are measured."""
    gaps = np.median(np.abs(episode.actions - episode.proprio), axis=0)
    far = [
        name
        for name, gap, in_arm in zip(robot.joint_names, gaps, robot.arm_joints, strict=True)
        if in_arm and gap > FOLLOWED_RAD
    ]
    if far:
        yield (
            f'its actions are not where the arms go: by the median more than {FOLLOWED_RAD} rad '
            f'beside {", ".join(far)}. Targets of the joints are expected [rad]; poses of a hand, '
            'changes, degrees and joints in another order look like this, and --actions '
            'state-next does without'
        )


def _find_other_openings(episode: Episode, robot: RobotSpec) -> Iterator[str]:
    """Yield that a gripper seems to be in another unit than its opening."""
    rows = np.stack([episode.proprio, episode.actions])  # (2, S, A)
    lowest, highest = rows.min(axis=1), rows.max(axis=1)
    outside = ((rows < WORN[0]) | (rows > WORN[1])).mean(axis=1).max(axis=0) > PUSHED
    narrow = ((highest < NARROW) & (highest - lowest > MOVED)).all(axis=0)
    for name, in_arm, is_outside, is_narrow in zip(
        robot.joint_names, robot.arm_joints, outside, narrow, strict=True
    ):
        if not in_arm and (is_outside or is_narrow):
            what = 'leaves 0 to 1' if is_outside else f'moves and stays below {NARROW}'
            yield (
                f'{name} {what}: openings from 0 (closed) to 1 (open) are expected; are these '
                f'{"radians" if is_outside else "metres"}?'
            )


def _find_squeezed(episode: Episode, robot: RobotSpec) -> Iterator[str]:
    """Yield that images have another shape than those of the robot's cameras."""
    for camera in robot.cameras:
        height, width = episode.images[camera.name].shape[1:3]
        alike = height * camera.width
        if abs(width * camera.height - alike) > SQUEEZED * alike:
            yield (
                f'{camera.name} is {width}x{height} px, the camera of the robot file '
                f'{camera.width}x{camera.height}: a policy is shown it squeezed in another way '
                'than on the robot'
            )
