# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy residuals``: how a checkpoint's errors go together, into its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.backends import Precision
from cosmos_policy_ros.cli.counts import check_counts
from cosmos_policy_ros.cli.reading import reading_of, ReadingOptions
from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.progress import Progress
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
import tyro


@dataclass(frozen=True)
class Residuals(ReadingOptions):
    """Measure on demonstrations how the errors of predicted chunks go together.

    The figures go into the checkpoint folder, as residuals.safetensors. With them a network that
    was never trained with committed rows goes on from what is still being played. A training
    writes the file by itself; this is for imported weights, and best done with demonstrations
    that they were not trained on.

    Example: cosmos-policy residuals models/cosmos_aloha --data data/held_out
    """

    checkpoint: tyro.conf.Positional[Path]
    """Checkpoint folder."""
    data: tuple[Path, ...]
    """Folders of rosbags or of ALOHA HDF5 files, or LeRobot v3 data sets."""
    samples: int = 1024
    """Chunks to predict, spread evenly over the episodes; several times the rows of a chunk times
    the arm joints."""
    robot: Path = robot_file('aloha_sim')
    """Robot YAML of the episodes."""
    backend: str = 'auto'
    """What runs the networks; auto takes what cosmos-policy export wrote, else torch."""
    device: str = 'cpu'
    """cpu or cuda."""
    precision: Precision = 'auto'
    """Arithmetic of the networks; auto is bfloat16 where the processor has it."""
    threads: int = 1
    """CPU threads of the networks."""


def run(options: Residuals) -> int:
    """Predict the chunks, print what the errors are like and write the file."""
    from cosmos_policy_ros.backends import load_cosmos_policy  # late: torch loads slowly
    from cosmos_policy_ros.core.checkpoint import RESIDUALS
    from cosmos_policy_ros.core.config import check_robot
    from cosmos_policy_ros.core.correction import write_residuals
    from cosmos_policy_ros.training.residuals import measure_residuals

    check_counts(options, 'samples', 'threads')
    policy = load_cosmos_policy(
        options.checkpoint,
        options.backend,
        options.device,
        options.threads,
        options.precision,
        conditioning='replaced',  # nothing is committed here, so that no file is missed either
    )
    robot = read_robot(options.robot)
    check_robot(policy.config, robot)
    with Progress() as progress:
        bar = progress.add_task('episodes', total=None)
        measured = measure_residuals(
            policy,
            options.data,
            robot,
            options.samples,
            lambda total: progress.update(bar, advance=1, total=total),
            reading_of(options, robot),
        )
    file = options.checkpoint / RESIDUALS
    with whole_file(file) as partial:
        write_residuals(partial, measured.residuals)
    print(f'{file}: {measured.samples} chunks of {measured.episodes} demonstrations')
    return 0
