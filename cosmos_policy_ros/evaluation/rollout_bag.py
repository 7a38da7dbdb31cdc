# SPDX-License-Identifier: Apache-2.0
"""The rollouts of an evaluation as bags: what was sensed, sent, proposed, valued and achieved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cosmos_policy_ros.data.bags.policy_messages import write_candidates, write_chunk
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.evaluation.scenario import Scenario
from cosmos_policy_ros.evaluation.sim_bag import bag_path, write_joint_states
from cosmos_policy_ros.outputs import check_folder, partial_folder
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.sim.aloha import AlohaSim, SUBSTEPS
from cosmos_policy_ros.topics import HUMAN_INTERVENTION, JOINT_COMMAND, SUCCESS, TASK
from cosmos_policy_ros.types import ActionChunk, Candidates, ConfigError, JointCommand
import numpy as np
from numpy.typing import NDArray


class Rollout:
    """One rollout; without a bag nothing is written, and the scene is stepped all the same."""

    def __init__(self, bag: BagWriter | None, sim: AlohaSim, robot: RobotSpec) -> None:
        """Keep where a rollout goes and what it shows.

        Args:
            bag: Open bag, or None.
            sim: Scene.
            robot: Topics and joints.
        """
        self._bag, self._sim, self._robot = bag, sim, robot
        self._half_ns = round(0.5e9 / robot.control_rate_hz)

    def write_sensed(self, images: Mapping[str, NDArray[np.uint8]], stamp_ns: int) -> None:
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

    def write_answer(self, candidates: Candidates, chunk: ActionChunk, stamp_ns: int) -> None:
        """Write the answer to a query.

        Args:
            candidates: All candidates.
            chunk: The chosen one.
            stamp_ns: When the answer comes [ns].
        """
        if self._bag is None:
            return
        joints = self._robot.joint_names
        write_candidates(self._bag, candidates, chunk.rate_hz, joints, stamp_ns)
        write_chunk(self._bag, chunk, joints, stamp_ns)

    def write_intervention(self, person: bool, stamp_ns: int) -> None:
        """Write that a person leads from now on, or the policy again."""
        if self._bag is not None:
            self._bag.write_flag(HUMAN_INTERVENTION.name, person, stamp_ns)

    def step(self, command: JointCommand, stamp_ns: int) -> None:
        """Send a command, write it, and step the scene by one control tick.

        Args:
            command: What goes to the arms.
            stamp_ns: When it is sent [ns].
        """
        self._sim.step(command.positions, SUBSTEPS // 2)
        if self._bag is not None:
            names = self._robot.joint_names
            self._bag.write_joints(JOINT_COMMAND.name, names, command.positions, stamp_ns)
            write_joint_states(self._bag, self._sim, self._robot, stamp_ns + self._half_ns)
        self._sim.step(command.positions, SUBSTEPS // 2)


@contextmanager
def open_rollout(
    path: Path | None, sim: AlohaSim, robot: RobotSpec, details: Mapping[str, str]
) -> Iterator[Rollout]:
    """Open a rollout; its outcome is known at the end of the block, and written then.

    Args:
        path: Folder of the new bag, None to write none.
        sim: Scene.
        robot: Topics and joints.
        details: Metadata of the bag, with the instruction as ``task``.
    """
    if path is None:
        yield Rollout(None, sim, robot)
        return
    with BagWriter(path, {'source': 'rollout', 'robot': robot.name, **details}) as bag:
        bag.write_text(TASK.name, details['task'], 0)
        yield Rollout(bag, sim, robot)
        bag.set_metadata('success', str(sim.success).lower())


def describe_scene(scenario: Scenario, task: str, seed: int) -> dict[str, str]:
    """Return a rollout's metadata of the scene.

    Args:
        scenario: What is played.
        task: Instruction that the policy is given, one of its tasks.
        seed: Seed of the scene.
    """
    details = {'task': task, 'seed': str(seed), 'states': scenario.states}
    if scenario.without:
        details['without'] = ' '.join(scenario.without)
    return details


def refuse_existing(folder: Path, seeds: Iterable[int]) -> None:
    """Refuse a folder that holds a bag of these episodes already, before any is played.

    Raises:
        ConfigError: There is one, or what a killed run left of one; or the folder cannot be
            written.
    """
    check_folder('--record', folder)
    bags = [bag_path(folder, seed) for seed in seeds]
    if existing := [p for bag in bags for p in (bag, partial_folder(bag)) if p.exists()]:
        msg = f'{existing[0]} exists and is not overwritten; record to another folder'
        raise ConfigError(msg)
