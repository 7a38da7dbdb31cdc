# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy demonstrate``: scripted demonstrations as rosbags with the stack's topics."""

from __future__ import annotations

from concurrent.futures import as_completed, ProcessPoolExecutor
from dataclasses import dataclass
import multiprocessing
from pathlib import Path
from typing import Annotated

from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.sim.aloha import AlohaSim, joint_state, SUBSTEPS
from cosmos_policy_ros.sim.experts.base import LIMIT_S, REST_S
from cosmos_policy_ros.sim.experts.table import find_task, make_expert, TASKS
from cosmos_policy_ros.sim.motion import joint_motion
from cosmos_policy_ros.sim.tasks import CONTROL_HZ
from cosmos_policy_ros.topics import EXPERT, JOINT_COMMAND, SUCCESS, TASK
import numpy as np
from rich.progress import track
import tyro


@dataclass(frozen=True)
class Demonstrate:
    """Record scripted demonstrations in the simulator, one MCAP rosbag per episode.

    Example: cosmos-policy demonstrate --episodes 600 --seed 0 --out data/transfer_cube
    Example: cosmos-policy demonstrate --live --episodes 40 --seed 5000 --out data/live
    """

    out: Path
    """Folder for the bags; episodes that are there already are kept and skipped."""
    task: Annotated[str, tyro.conf.arg(help=f'Simulated task: {" or ".join(TASKS)}.')] = (
        'transfer_cube'
    )
    episodes: int = 50
    """Number of episodes."""
    seed: int = 0
    """Episode i uses seed + i for the scene and for what goes wrong in it."""
    workers: Annotated[int, tyro.conf.arg(aliases=['-j'])] = 2
    """Processes that record side by side."""
    robot: Path = share_path('config', 'robots', 'aloha_sim.yaml')
    """Robot YAML whose topics the bags use."""
    live: bool = False
    """Record in real time from the running stack: simulator, leader arms that the expert moves,
    command executor and recorder. Otherwise the bags are written without ROS, 20 times faster."""
    domain: int | None = None
    """ROS domain of --live, by default ROS_DOMAIN_ID or one of its own."""


def run(options: Demonstrate) -> int:
    """Record the episodes that are missing and print how many succeeded."""
    find_task(options.task)  # a mistake shows here, not in the middle of a worker
    if options.live:
        from cosmos_policy_ros.report.demonstration import record_live

        record_live(
            options.out,
            options.robot,
            task=options.task,
            episodes=options.episodes,
            seed=options.seed,
            domain=options.domain,
        )
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    robot = read_robot(options.robot)
    seeds = [options.seed + i for i in range(options.episodes)]
    missing = [s for s in seeds if not _bag(options.out, s).exists()]
    # spawn: an EGL context does not survive a fork
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(max(1, options.workers), mp_context=context) as pool:
        jobs = [pool.submit(record, _bag(options.out, s), options.task, s, robot) for s in missing]
        done = track(as_completed(jobs), 'recording', total=len(jobs))
        outcomes = [job.result() for job in done]
    print(
        f'{options.out}: {len(seeds)} episodes, {len(missing)} recorded now, '
        f'{sum(outcomes)} of those successful'
    )
    return 0


def record(path: Path, task: str, seed: int, robot: RobotSpec) -> bool:
    """Record one episode and return whether it succeeded.

    Args:
        path: Folder of the new bag.
        task: Simulated task.
        seed: Seed of the scene and of what goes wrong.
        robot: Topics, rates and image sizes.
    """
    sim = AlohaSim(task, (robot.cameras[0].height, robot.cameras[0].width))
    sim.reset(seed)
    rng = np.random.default_rng(seed)
    expert = make_expert(sim, rng)
    image_ticks = round(CONTROL_HZ / robot.cameras[0].rate_hz)
    details = {'task': sim.task, 'robot': robot.name, 'seed': str(seed)}
    with BagWriter(path, details) as bag:
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
    sim.close()
    return success


def write_joint_states(bag: BagWriter, sim: AlohaSim, robot: RobotSpec, stamp_ns: int) -> None:
    """Write both arms' joint states as the real driver names them."""
    for index, arm in enumerate(robot.arms):
        names, positions = joint_state(sim, index)
        motion = joint_motion(sim, index)
        bag.write_joints(arm.joint_state_topic, names, positions, stamp_ns, *motion)


def _bag(out: Path, seed: int) -> Path:
    return out / f'episode_{seed:06d}'
