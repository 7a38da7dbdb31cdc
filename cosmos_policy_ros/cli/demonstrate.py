# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy demonstrate``: scripted demonstrations as rosbags with the stack's topics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.experts.table import find_task, TASKS
from rich.progress import Progress
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
    robot: Path = robot_file('aloha_sim')
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
    from cosmos_policy_ros.evaluation.demonstration import record_demonstrations
    from cosmos_policy_ros.evaluation.sim_bag import missing_seeds

    robot = read_robot(options.robot)
    seeds = range(options.seed, options.seed + options.episodes)
    missing = missing_seeds(options.out, seeds)
    with Progress() as progress:
        bar = progress.add_task('recording', total=len(missing))
        outcomes = record_demonstrations(
            options.out,
            options.task,
            robot,
            missing,
            workers=max(1, options.workers),
            on_episode=lambda _: progress.advance(bar),
        )
    print(
        f'{options.out}: {len(seeds)} episodes, {len(missing)} recorded now, '
        f'{sum(outcomes)} of those successful'
    )
    return 0
