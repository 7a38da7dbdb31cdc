# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy train``: from recorded episodes to a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path

from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack import share_path


@dataclass(frozen=True)
class Train:
    """Train policy, world model and value function together from episodes.

    The first stages read the episodes and train the image autoencoder; a run of config/train.yaml
    takes about two hours on two CPU cores. OUT/work keeps the log, TensorBoard curves (board/),
    sheets of predicted futures beside the truth (sheets/) and what --resume needs.

    Several GPUs or machines share one model when torchrun starts the command.

    Example: cosmos-policy train --data data/transfer_cube --out runs/train
    Example: torchrun --nproc-per-node 8 .venv/bin/cosmos-policy train --data data --out runs/train
    """

    data: Path
    """Folder of rosbags or of ALOHA HDF5 files, or a LeRobot v3 data set."""
    out: Path
    """Checkpoint folder; its subfolder work/ keeps what resuming needs."""
    config: Path = share_path('config', 'train.yaml')
    """Training configuration."""
    robot: Path = share_path('config', 'robots', 'aloha_sim.yaml')
    """Robot YAML of the episodes."""
    init: Path | None = None
    """Checkpoint to start from instead of from scratch; its sizes and autoencoder are taken."""
    resume: bool = False
    """Go on with the interrupted run in the checkpoint folder."""
    json: Path | None = None
    """Also write the figures measured on the episodes held out to this file."""


def run(options: Train) -> int:
    """Train and print the figures."""
    from cosmos_policy_ros.training.config import read_train_config
    from cosmos_policy_ros.training.trainer import train

    config, robot = read_train_config(options.config), read_robot(options.robot)
    figures = train(options.data, options.out, robot, config, options.init, options.resume)
    for name, figure in figures.items():
        print(f'{name:18} {figure}')
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + '\n', encoding='utf-8')
    return 0
