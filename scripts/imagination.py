# SPDX-License-Identifier: Apache-2.0
"""How well imagination tells that a camera shows something else: the table of docs/how-to/see.md.

MUJOCO_GL=egl python scripts/imagination.py --scenes 6 --cameras swapped

Plays scenes in the simulator as ``cosmos-policy evaluate`` does, and compares what the policy
predicted with every chunk with what came when it had been played, as the monitor does. Ten seconds
a scene on a quiet machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from cosmos_policy_ros.backends import load_policy
from cosmos_policy_ros.control.imagination import (
    compare,
    Comparison,
    Expectation,
    shrink,
    Thumbnail,
)
from cosmos_policy_ros.core.planner import make_plan
from cosmos_policy_ros.core.protocol import Policy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.evaluation.episode import (
    match_instruction,
    play_episode,
    Proposal,
)
from cosmos_policy_ros.evaluation.scenario import Scenario
from cosmos_policy_ros.resources import robot_file, share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.sim.aloha import AlohaSim, SUBSTEPS
from cosmos_policy_ros.sim.states import States
from cosmos_policy_ros.types import Observation
import numpy as np
from numpy.typing import NDArray
import tyro

Cameras = Literal['clean', 'swapped', 'black', 'frozen']
SWAPPED = {'left_wrist': 'right_wrist', 'right_wrist': 'left_wrist'}
BAD, FREEZE_S = 'left_wrist', 2.0  # the camera that is black or frozen, and since when [s]


@dataclass(frozen=True)
class Options:
    """What is played."""

    scenes: int = 6
    """Scenes, one after the other."""
    seed: int = 100000
    """Seed of the first."""
    cameras: Cameras = 'clean'
    """What is wrong with the cameras."""
    states: States = 'normal'
    """Start states, normal or hard."""


def main() -> None:
    """Play the scenes and print the row of the table."""
    options = tyro.cli(Options)
    robot = read_robot(robot_file('aloha_sim'))
    policy = load_policy(share_path('models', 'aloha_sim'), threads=1)
    worst, in_a_row, joints = [], [], []
    for seed in range(options.seed, options.seed + options.scenes):
        found = list(play(policy, robot, options, seed))
        excess = [max(comparison.excess.values()) for comparison in found]
        worst += excess
        in_a_row.append(max(min(pair) for pair in pairwise(excess)))
        joints += [comparison.joint_rad for comparison in found]
        print(f'seed {seed}: {[round(value) for value in excess]}')
    print(
        f'{options.cameras}, {options.states}: {len(worst)} chunks of {options.scenes} scenes, '
        f'largest excess {max(worst):.1f}, in two chunks in a row {min(in_a_row):.1f} to '
        f'{max(in_a_row):.1f}, joints {max(joints):.2f} rad'
    )


class WatchedSim(AlohaSim):
    """The simulator with something wrong with its cameras, which keeps what it shows.

    Attributes:
        shown: Camera -> time [s] and image of all that it has shown.
        poses: Time [s] and proprio after every tick.
    """

    def __init__(self, scenario: Scenario, robot: RobotSpec, cameras: Cameras) -> None:
        """Load the scene.

        Args:
            scenario: The task.
            robot: Size of the images.
            cameras: What is wrong with them.
        """
        self.shown: dict[str, list[tuple[float, NDArray[np.uint8]]]] = {
            camera.name: [] for camera in robot.cameras
        }
        self.poses: list[tuple[float, NDArray[np.float32]]] = []
        self._cameras = cameras
        super().__init__(scenario.task, (robot.cameras[0].height, robot.cameras[0].width))

    def step(self, action: NDArray[np.float32], n_substeps: int = SUBSTEPS) -> None:
        """Step, and keep where the arms are."""
        super().step(action, n_substeps)
        self.poses.append((self.data.time, self.proprio))

    def render(self, camera: str) -> NDArray[np.uint8]:
        """Return what a camera shows now, right or wrong, and keep it."""
        swapped = self._cameras == 'swapped'
        image = super().render(SWAPPED.get(camera, camera) if swapped else camera)
        if camera == BAD and self._cameras == 'black':
            image = np.zeros_like(image)
        if camera == BAD and self._cameras == 'frozen' and self.data.time > FREEZE_S:
            image = self.shown[camera][-1][1]
        self.shown[camera].append((self.data.time, image))
        return image

    def at(self, due_s: float) -> tuple[NDArray[np.float32] | None, dict[str, Thumbnail]]:
        """Return the first pose, and camera -> its first thumbnail, of an instant or later [s]."""
        pose = next((pose for at_s, pose in self.poses if at_s >= due_s), None)
        came = {}
        for camera, images in self.shown.items():
            later = next((image for at_s, image in images if at_s >= due_s), None)
            if later is not None:
                came[camera] = shrink(later)
        return pose, came


def play(policy: Policy, robot: RobotSpec, options: Options, seed: int) -> Iterator[Comparison]:
    """Yield the comparisons of a scene.

    Args:
        policy: The policy.
        robot: Its robot.
        options: What is played.
        seed: Seed of the scene.
    """
    scenario = Scenario(states=options.states)
    sim = WatchedSim(scenario, robot, options.cameras)
    task, facts = match_instruction(policy, scenario).task, policy.config
    expected: list[Expectation] = []

    def plan(observation: Observation) -> Proposal:
        answer = policy.plan(observation, replace(PlanQuery(), seed=seed))
        chosen = make_plan(answer.candidates, facts.rate_hz)
        images = policy.images(answer, [chosen.best])
        due_ns = round((sim.data.time + facts.horizon / facts.rate_hz) * 1e9)
        future = answer.candidates.future_proprio[chosen.best]
        predicted = {camera: shrink(found[0]) for camera, found in images.items()}
        before = {camera: shrink(image) for camera, image in observation.images.items()}
        expected.append(Expectation(due_ns, future, predicted, before))
        return Proposal(answer.candidates, chosen)

    play_episode(plan, sim, robot, scenario, task, seed, facts)
    sim.close()
    for expectation in expected:
        pose, came = sim.at(expectation.due_ns * 1e-9)
        if pose is not None and len(came) == len(sim.shown):  # else the episode was over
            yield compare(expectation, pose, came, robot.arm_joints)


if __name__ == '__main__':
    main()
