# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy demonstrate``: scripted demonstrations in a simulator, to train on."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from cosmos_policy_ros.cli.counts import check_counts
from cosmos_policy_ros.cli.suites import (
    DEFAULT_TASK,
    find_suite_tasks,
    OWN_ROBOT,
    read_suite_robot,
    TASK_HELP,
)
from cosmos_policy_ros.progress import Progress
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.experts.table import find_task
from cosmos_policy_ros.types import ConfigError
import tyro


@dataclass(frozen=True)
class Demonstrate:
    """Record scripted demonstrations in the simulator, one MCAP rosbag per episode.

    Those of a benchmark are HDF5 files in a folder per task, with the actions of its simulator.

    Example: cosmos-policy demonstrate --episodes 600 --seed 0 --out data/transfer_cube
    Example: cosmos-policy demonstrate --live --episodes 40 --seed 5000 --out data/live
    Example: cosmos-policy demonstrate --sim libero --suite libero_object --episodes 30
    --out data/libero_object
    """

    out: Path
    """Folder for the episodes; those that are there already are kept and skipped."""
    sim: Literal['aloha', 'libero'] = 'aloha'
    """Simulator: that of the package, or LIBERO, which needs the extra of its name."""
    suite: str | None = None
    """Suite of the benchmark; scripts do the tasks of libero_object."""
    task: Annotated[str | None, tyro.conf.arg(help=TASK_HELP)] = None
    episodes: int = 50
    """Number of episodes; of each task of a benchmark."""
    seed: int = 0
    """Episode i uses seed + i for the scene and for what goes wrong in it. In LIBERO the objects
    are placed by it, never as in a start state of the benchmark."""
    rate_hz: float = 10.0
    """Rows per second of a benchmark's demonstrations [Hz]; each is held for as many steps of the
    simulator as fit, and train takes this as its tick_hz."""
    workers: Annotated[int, tyro.conf.arg(aliases=['-j'])] = 2
    """Processes that record side by side."""
    robot: Path | None = None
    """Robot YAML whose topics the bags use; by default that of the simulator."""
    live: bool = False
    """Record in real time from the running stack: simulator, leader arms that the expert moves,
    command executor and recorder. Otherwise the bags are written without ROS, 20 times faster."""
    domain: int | None = None
    """ROS domain of --live, by default ROS_DOMAIN_ID or one of its own."""


def run(options: Demonstrate) -> int:
    """Record the episodes that are missing and print how many succeeded."""
    check_counts(options, 'episodes', 'workers')
    if options.sim != 'aloha':
        return _run_suite(options)
    _refuse(options, ('suite', 'rate_hz'), 'is of a benchmark; give --sim libero besides')
    task = options.task or DEFAULT_TASK
    find_task(task)  # a mistake shows here, not in the middle of a worker
    if options.live:
        from cosmos_policy_ros.terminal.demonstration import record_live

        record_live(
            options.out,
            options.robot or OWN_ROBOT,
            task=task,
            episodes=options.episodes,
            seed=options.seed,
            domain=options.domain,
        )
        return 0
    from cosmos_policy_ros.evaluation.demonstration import record_demonstrations
    from cosmos_policy_ros.evaluation.sim_bag import missing_seeds

    robot = read_robot(options.robot or OWN_ROBOT)
    seeds = range(options.seed, options.seed + options.episodes)
    missing = missing_seeds(options.out, seeds)
    with Progress() as progress:
        bar = progress.add_task('recording', total=len(missing))
        outcomes = record_demonstrations(
            options.out,
            task,
            robot,
            missing,
            workers=options.workers,
            on_episode=lambda _: progress.advance(bar),
        )
    _print_outcomes(options.out, len(seeds), outcomes)
    return 0


def _run_suite(options: Demonstrate) -> int:
    """Record demonstrations of a benchmark, one task after the other."""
    from cosmos_policy_ros.evaluation.suite_demonstration import (
        missing_files,
        record_suite_demonstrations,
    )
    from cosmos_policy_ros.sim.simulator import find_simulator, SIMULATORS

    _refuse(options, ('live', 'domain'), f'means nothing to --sim {options.sim}')
    if options.suite is None:
        msg = f'--sim {options.sim} needs --suite'
        raise ConfigError(msg)
    open_suite, _ = find_simulator(options.sim)
    tasks = find_suite_tasks(options.suite, options.task, open_suite(options.suite).tasks)
    robot = read_suite_robot(options.robot, SIMULATORS[options.sim].robot)
    seeds = range(options.seed, options.seed + options.episodes)
    with Progress() as progress:
        bar = progress.add_task('recording', total=len(tasks) * len(seeds))
        for task in tasks:
            folder = options.out / task
            missing = missing_files(folder, seeds)
            progress.update(bar, advance=len(seeds) - len(missing))
            outcomes = record_suite_demonstrations(
                folder,
                options.sim,
                options.suite,
                task,
                robot,
                missing,
                rate_hz=options.rate_hz,
                workers=options.workers,
                on_episode=lambda _: progress.advance(bar),
            )
            _print_outcomes(folder, len(seeds), outcomes)
    return 0


def _refuse(options: Demonstrate, names: tuple[str, ...], why: str) -> None:
    """Refuse options that are given and mean nothing.

    Raises:
        ConfigError: One of them is; it is named as on the command line.
    """
    defaults = {f.name: f.default for f in fields(options)}
    given = [f'--{n.replace("_", "-")}' for n in names if getattr(options, n) != defaults[n]]
    if given:
        msg = f'{", ".join(given)} {why}'
        raise ConfigError(msg)


def _print_outcomes(out: Path, episodes: int, outcomes: list[bool]) -> None:
    """Print how many episodes there are, how many are new, and how many of those succeeded."""
    print(
        f'{out}: {episodes} episodes, {len(outcomes)} recorded now, '
        f'{sum(outcomes)} of those successful'
    )
