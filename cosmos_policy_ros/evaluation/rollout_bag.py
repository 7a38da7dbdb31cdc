# SPDX-License-Identifier: Apache-2.0
"""The rollouts of an evaluation as bags: what was sensed, sent, proposed, valued and achieved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from cosmos_policy_ros.cli.demonstrate import write_joint_states
from cosmos_policy_ros.data.bags.policy_messages import write_candidates, write_chunk
from cosmos_policy_ros.data.bags.recording import hash_folder
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.sim.aloha import AlohaSim, SUBSTEPS
from cosmos_policy_ros.topics import JOINT_COMMAND, SUCCESS, TASK
from cosmos_policy_ros.types import ActionChunk, Candidates, ConfigError, JointCommand
import numpy as np
from numpy.typing import NDArray


class Rollout:
    """One rollout; without a folder nothing is written, and the scene is stepped all the same."""

    def __init__(self, bag: BagWriter | None, sim: AlohaSim, robot: RobotSpec) -> None:
        """Take an open bag, or None, and the scene that it shows."""
        self._bag, self._sim, self._robot = bag, sim, robot
        self._half_ns = round(0.5e9 / robot.control_rate_hz)

    def see(self, images: Mapping[str, NDArray[np.uint8]], stamp_ns: int) -> None:
        """Write joint states, new images, and whether the task is done.

        Args:
            images: Camera -> (height, width, 3) uint8 RGB, of those that took one now.
            stamp_ns: Time of all of it [ns].
        """
        if self._bag is None:
            return
        write_joint_states(self._bag, self._sim, self._robot, stamp_ns)
        for camera in self._robot.cameras:
            if camera.name in images:
                self._bag.write_image(camera.topic, images[camera.name], stamp_ns)
        self._bag.write_flag(SUCCESS.name, self._sim.success, stamp_ns)

    def hear(self, candidates: Candidates, chunk: ActionChunk, stamp_ns: int) -> None:
        """Write all candidates of an answer and the chosen one, when they come [ns]."""
        if self._bag is None:
            return
        joints = self._robot.joint_names
        write_candidates(self._bag, candidates, chunk.rate_hz, joints, stamp_ns)
        write_chunk(self._bag, chunk, joints, stamp_ns)

    def step(self, command: JointCommand, stamp_ns: int) -> None:
        """Send a command, write it with its time [ns], and step the scene by one control tick."""
        self._sim.step(command.positions, SUBSTEPS // 2)
        if self._bag is not None:
            names = self._robot.joint_names
            self._bag.write_joints(JOINT_COMMAND.name, names, command.positions, stamp_ns)
            write_joint_states(self._bag, self._sim, self._robot, stamp_ns + self._half_ns)
        self._sim.step(command.positions, SUBSTEPS // 2)


@contextmanager
def rollout(
    path: Path | None, sim: AlohaSim, robot: RobotSpec, details: Mapping[str, str]
) -> Iterator[Rollout]:
    """Return a rollout; its outcome is known at the end of the block, and written then.

    Args:
        path: Folder of the new bag, None to write none.
        sim: Scene.
        robot: Topics and joints.
        details: Metadata of the bag.
    """
    if path is None:
        yield Rollout(None, sim, robot)
        return
    with BagWriter(path, {'source': 'rollout', 'robot': robot.name, **details}) as bag:
        bag.write_text(TASK.name, details['task'], 0)
        yield Rollout(bag, sim, robot)
        bag.set_metadata('success', str(sim.success).lower())


@lru_cache
def checkpoint_hashes(checkpoint: Path, planning: Path | None) -> dict[str, str]:
    """Return which checkpoints acted and scored, for the metadata; read once in a process."""
    folders = {'checkpoint': checkpoint, 'planning_checkpoint': planning}
    return {name: hash_folder(folder) for name, folder in folders.items() if folder is not None}


def bag_path(folder: Path, seed: int) -> Path:
    """Return the bag of an episode."""
    return folder / f'episode_{seed:06d}'


def refuse_existing(folder: Path, seeds: range) -> None:
    """Refuse a folder that holds a bag of these episodes already, before any is played.

    Raises:
        ConfigError: There is one.
    """
    there = [bag_path(folder, seed) for seed in seeds if bag_path(folder, seed).exists()]
    if there:
        msg = f'{there[0]} exists and is not overwritten; give --record another folder'
        raise ConfigError(msg)
