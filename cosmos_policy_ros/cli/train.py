# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy train``: from recorded episodes to a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cosmos_policy_ros.cli.reading import reading_of, ReadingOptions
from cosmos_policy_ros.outputs import check_output, write_json
from cosmos_policy_ros.resources import robot_file, share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.types import ConfigError

CONFIGS = {'policy': 'train.yaml', 'planning': 'planning.yaml', 'improve': 'improve.yaml'}


@dataclass(frozen=True)
class Train(ReadingOptions):
    """Train policy, world model and value function together from episodes.

    The first stages read the episodes and train the image autoencoder; a run of config/train.yaml
    takes about two hours on two CPU cores. OUT/work keeps the log, TensorBoard curves (board/),
    sheets of predicted futures beside the truth (sheets/) and what --resume needs.

    Several GPUs or machines share one model when torchrun starts the command.

    Example: cosmos-policy train --data data/transfer_cube --out runs/train
    Example: cosmos-policy train --data data/transfer_cube data/insert_peg --out runs/two_tasks
    Example: cosmos-policy train --role planning --data data/demos data/rollouts
    --init runs/train --out runs/planning
    Example: cosmos-policy train --role improve --data data/demos data/rollouts
    --init runs/train --out runs/improved
    Example: torchrun --nproc-per-node 8 .venv/bin/cosmos-policy train --data data --out runs/train
    """

    data: tuple[Path, ...]
    """Folders of rosbags or of ALOHA HDF5 files, or LeRobot v3 data sets; one or more, of one or
    more tasks."""
    out: Path
    """Checkpoint folder; its subfolder work/ keeps what resuming needs."""
    role: Literal['policy', 'planning', 'improve'] = 'policy'
    """policy: a checkpoint that acts. planning: one that scores what the checkpoint of --init
    proposes, from its rollouts (cosmos-policy evaluate --record) and the demonstrations. improve:
    one that acts, from the same, and is told which chunks went better than --init expected."""
    config: Path | None = None
    """Training configuration, by default config/train.yaml, or planning.yaml or improve.yaml for
    those roles. What it leaves out of rate, rows, images and committed rows is that of --init."""
    robot: Path = robot_file('aloha_sim')
    """Robot YAML of the episodes."""
    init: Path | None = None
    """Checkpoint to start from instead of from scratch; its sizes and autoencoder are taken."""
    resume: bool = False
    """Go on with the interrupted run in the checkpoint folder."""
    json: Path | None = None
    """Also write the figures measured on the episodes held out to this file."""


def run(options: Train) -> int:
    """Train and print the figures."""
    from cosmos_policy_ros.core.config import read_config
    from cosmos_policy_ros.training.config import read_train_config
    from cosmos_policy_ros.training.trainer import train

    check_output('--json', options.json)
    path = options.config or share_path('config', CONFIGS[options.role])
    base = read_config(options.init / 'policy.json') if options.init else None
    config = read_train_config(path, base)
    if options.role == 'planning' and (options.init is None or config.ranges != 'init'):
        msg = 'a planning checkpoint needs --init, the checkpoint whose candidates it will score, '
        msg += 'and ranges: init in its configuration'
        raise ConfigError(msg)
    if options.role == 'improve' and (options.init is None or not config.advantage):
        msg = (
            '--role improve needs --init, the checkpoint whose value tells what went better than '
        )
        msg += 'expected, and advantage: true in its configuration'
        raise ConfigError(msg)
    robot = read_robot(options.robot, simulated=True)
    reading = reading_of(options, robot)
    figures = train(
        options.data, options.out, robot, config, options.init, options.resume, reading
    )
    for name, figure in figures.items():
        print(f'{name:18} {figure}')
    if options.json:
        write_json(options.json, figures)
    return 0
