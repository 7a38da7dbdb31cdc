# SPDX-License-Identifier: Apache-2.0
"""Recordings as one HTML page that needs nothing else: which bags are in it, and writing it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import sys

from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.data.bags.overview import read_overview
from cosmos_policy_ros.report.episode import section
from cosmos_policy_ros.report.page import Damaged, describe, page, Row
from cosmos_policy_ros.resources import find_robot_file
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.types import ConfigError
from rich.console import Console
from rich.progress import track

STORAGE = ('metadata.yaml', '*.mcap', '*.db3')  # what makes a folder a bag


def write_report(
    bags: Sequence[Path], out: Path, robot: RobotSpec | None = None, n_images: int = 8
) -> int:
    """Write one HTML page about bags, and print how many it shows.

    A bag that cannot be read is named in the page and on the standard error, with the reason.

    Args:
        bags: Bags, or folders of bags.
        out: HTML file to write; replaced when it exists.
        robot: The robot, by default the one that every bag names. Where nobody knows it there are
            no measured joints, limits and expected rates.
        n_images: Images per camera and episode.

    Returns:
        Number of bags that could be read.

    Raises:
        ConfigError: A folder does not exist, or there is no bag.
    """
    paths = find_bags(bags)
    console = Console()
    rows: list[Row] = []
    damaged: list[Damaged] = []
    sections: list[str] = []
    for path in track(paths, 'reading', console=console, transient=True):
        try:
            overview = read_overview(path, robot or robot_of(path), n_images)
        except ConfigError as error:
            damaged.append(Damaged(path.name, str(error)))
            print(f'cosmos-policy: {error}', file=sys.stderr)
            continue
        rows.append(describe(overview))
        sections.append(section(overview))
    title = paths[0].name if len(paths) == 1 else bags[0].resolve().name
    with out.open('w', encoding='utf-8') as file:
        file.writelines(page(title, rows, damaged, sections))
    size_mb = out.stat().st_size * 1e-6
    console.print(
        f'{out}: {len(rows)} episodes, {len(damaged)} damaged, {size_mb:.1f} MB',
        highlight=False,
        soft_wrap=True,
    )
    return len(rows)


def find_bags(given: Sequence[Path]) -> list[Path]:
    """Return the bags among the given folders and directly inside them, in name order.

    Raises:
        ConfigError: A folder does not exist, or there is none.
    """
    found: list[Path] = []
    for path in given:
        if not path.is_dir():
            msg = f'no folder {path}; give a bag or a folder of bags'
            raise ConfigError(msg)
        found += [path] if is_bag(path) else sorted(p for p in path.iterdir() if is_bag(p))
    if not found:
        folders = ', '.join(str(path) for path in given)
        msg = f'no bags in {folders}; record some with: cosmos-policy demonstrate --out DIR'
        raise ConfigError(msg)
    return found


def is_bag(path: Path) -> bool:
    """Whether a path is a bag by what lies in it, whole or damaged."""
    return path.is_dir() and any(any(path.glob(pattern)) for pattern in STORAGE)


def robot_of(bag: Path) -> RobotSpec | None:
    """Return the robot that a bag names, None when this package has no file for it.

    Raises:
        ConfigError: The bag cannot be read.
    """
    file = find_robot_file(read_metadata(bag).get('robot', ''))
    return None if file is None else read_robot(file)
