# SPDX-License-Identifier: Apache-2.0
"""What the bags of simulated episodes have in common, demonstrations and rollouts alike."""

from __future__ import annotations

from collections.abc import Container, Iterable
import logging
from pathlib import Path

from cosmos_policy_ros.data.bags.recovery import is_being_recorded
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.data.episode_edits import move_to_trash
from cosmos_policy_ros.data.episodes import StoredEpisode
from cosmos_policy_ros.outputs import partial_folder
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.sim.aloha import AlohaSim, joint_state
from cosmos_policy_ros.sim.motion import joint_motion

logger = logging.getLogger(__name__)


def bag_path(folder: Path, seed: int) -> Path:
    """Return the bag of the episode of a seed."""
    return folder / f'episode_{seed:06d}'


def missing_seeds(folder: Path, seeds: Iterable[int]) -> list[int]:
    """Return the seeds whose episode has no bag in a folder yet."""
    return [seed for seed in seeds if not bag_path(folder, seed).exists()]


def set_aside_unfinished(folder: Path, seeds: Iterable[int], whole: Container[int] = ()) -> None:
    """Move what a killed run left of episodes to the trash of a folder.

    Their seeds play them anew.

    Args:
        folder: Folder of the bags.
        seeds: Seeds of the episodes.
        whole: Seeds of which a bag that is complete is unfinished too, since the run was killed
            before it wrote down what came of it.
    """
    for seed in seeds:
        bag = bag_path(folder, seed)
        partial = partial_folder(bag)
        if partial.is_dir() and not is_being_recorded(partial):
            move_to_trash(StoredEpisode('bag', partial))
        if seed in whole and bag.is_dir():
            place = move_to_trash(StoredEpisode('bag', bag))
            logger.warning(
                'nothing says what came of %s; it is in %s, and is played anew', bag, place
            )


def write_joint_states(bag: BagWriter, sim: AlohaSim, robot: RobotSpec, stamp_ns: int) -> None:
    """Write both arms' joint states as the real driver names them.

    Args:
        bag: Open bag.
        sim: Scene whose joints are written.
        robot: Topics of the arms.
        stamp_ns: Time of the joint states [ns].
    """
    for index, arm in enumerate(robot.arms):
        names, positions = joint_state(sim, index)
        motion = joint_motion(sim, index)
        bag.write_joints(arm.joint_state_topic, names, positions, stamp_ns, *motion)
