# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy report``: what is in recordings, as one HTML page that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cosmos_policy_ros.cli.reading import reading_of, ReadingOptions
from cosmos_policy_ros.outputs import check_output
from cosmos_policy_ros.report.recordings import write_report
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.types import ConfigError
import tyro


@dataclass(frozen=True)
class Report(ReadingOptions):
    """Show recordings as one HTML page: images, joints, values, seams, rates and gaps.

    The page loads nothing and can be sent around. A folder of bags becomes a data set with a
    summary and a table; a bag that cannot be read is named with the reason. Exit status 0 means
    that at least one could be read.

    Example: cosmos-policy report data/transfer_cube --out transfer_cube.html
    """

    bags: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Bags, HDF5 files, LeRobot data sets, or folders of them."""
    out: Path = Path('report.html')
    """HTML file to write; replaced when it exists."""
    robot: Path | None = None
    """Robot YAML, by default config/robots/<name>.yaml of the robot that a bag names; without one
    there are no measured joints, limits and expected rates."""
    n_images: Annotated[int, tyro.conf.arg(name='pictures', aliases=['-n'])] = 8
    """Images per camera and episode; fewer make a smaller page."""


def run(options: Report) -> int:
    """Write the page and print what is in it."""
    if options.n_images < 0:
        msg = f'--pictures must be at least 0, got {options.n_images}'
        raise ConfigError(msg)
    check_output('--out', options.out)
    robot = None if options.robot is None else read_robot(options.robot)
    reading = reading_of(options, robot)
    written = write_report(options.bags, options.out, robot, options.n_images, reading)
    return 0 if written else 1
