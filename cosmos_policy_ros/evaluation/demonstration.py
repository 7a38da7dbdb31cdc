# SPDX-License-Identifier: Apache-2.0
"""Scripted demonstrations as bags with the running stack's topics, faster than real time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path

from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.evaluation.sim_bag import (
    bag_path,
    set_aside_unfinished,
    write_joint_states,
)
from cosmos_policy_ros.evaluation.workers import map_seeds
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.sim.aloha import AlohaSim, SUBSTEPS
from cosmos_policy_ros.sim.experts.base import LIMIT_S, REST_S
from cosmos_policy_ros.sim.experts.table import make_expert
from cosmos_policy_ros.sim.tasks import CONTROL_HZ
from cosmos_policy_ros.topics import EXPERT, JOINT_COMMAND, SUCCESS, TASK
import numpy as np


def record_demonstrations(
    out: Path,
    task: str,
    robot: RobotSpec,
    seeds: Iterable[int],
    *,
    workers: int = 2,
    on_episode: Callable[[bool], None] = lambda _: None,
) -> list[bool]:
    """Record demonstrations in processes side by side and return of each whether it succeeded.

    Args:
        out: Folder of the bags, which is made.
        task: Simulated task.
        robot: Topics, rates and image sizes.
        seeds: Seeds of the episodes, none of which has a whole bag yet.
        workers: Number of processes.
        on_episode: Called with the success of every episode as it ends, to show progress.
    """
    out.mkdir(parents=True, exist_ok=True)
    seeds = list(seeds)
    set_aside_unfinished(out, seeds)
    return map_seeds(partial(_open_recorder, out, task, robot), seeds, workers, on_episode)


def record_demonstration(path: Path, task: str, seed: int, robot: RobotSpec) -> bool:
    """Record one episode of the scripted expert and return whether it succeeded.

    Args:
        path: Folder of the new bag.
        task: Simulated task.
        seed: Seed of the scene and of what goes wrong.
        robot: Topics, rates and image sizes.
    """
    sim = AlohaSim(task, (robot.cameras[0].height, robot.cameras[0].width))
    sim.reset(seed)
    expert = make_expert(sim, np.random.default_rng(seed))
    image_ticks = round(CONTROL_HZ / robot.cameras[0].rate_hz)
    details = {'task': sim.task, 'robot': robot.name, 'seed': str(seed)}
    with closing(sim), BagWriter(path, details) as bag:
        bag.write_text(TASK.name, sim.task, 0)
        for tick in range(round(LIMIT_S * CONTROL_HZ)):
            stamp_ns = round(tick * 1e9 / CONTROL_HZ)
            write_joint_states(bag, sim, robot, stamp_ns)
            if tick % image_ticks == 0:
                for camera in robot.cameras:
                    bag.write_image(camera.topic, sim.render(camera.name), stamp_ns)
            action = expert.action()
            bag.write_joints(JOINT_COMMAND.name, robot.joint_names, action, stamp_ns)
            bag.write_flag(EXPERT.name, expert.expert, stamp_ns)
            bag.write_flag(SUCCESS.name, sim.success, stamp_ns)
            sim.step(action, SUBSTEPS // 2)
            write_joint_states(bag, sim, robot, stamp_ns + round(0.5e9 / CONTROL_HZ))
            sim.step(action, SUBSTEPS // 2)
            if expert.rested_s > REST_S:
                break
        success = sim.success
        bag.set_metadata('success', str(success).lower())
        bag.set_metadata('source', 'demo' if success else 'rollout')
    return success


def _open_recorder(out: Path, task: str, robot: RobotSpec) -> Callable[[int], bool]:
    """Return the function that records the episode of a seed."""
    return lambda seed: record_demonstration(bag_path(out, seed), task, seed, robot)
