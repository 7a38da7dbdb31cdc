# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy report``: what is in recordings, as one HTML page that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import sys
from typing import Annotated

from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.data.bags.overview import read_overview
from cosmos_policy_ros.outputs import check_output
from cosmos_policy_ros.report.episode import section
from cosmos_policy_ros.report.page import Damaged, describe, page, Row
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.types import ConfigError
from rich.console import Console
from rich.progress import track
import tyro

STORAGE = ('metadata.yaml', '*.mcap', '*.db3')  # what makes a folder a bag


@dataclass(frozen=True)
class Report:
    """Show recordings as one HTML page: pictures, joints, values, seams, rates and gaps.

    The page loads nothing and can be sent around. A folder of bags becomes a data set with a
    summary and a table; a bag that cannot be read is named with the reason. Exit status 0 means
    that at least one could be read.

    Example: cosmos-policy report data/transfer_cube --out transfer_cube.html
    """

    bags: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Bags, or folders of bags."""
    out: Path = Path('report.html')
    """HTML file to write; replaced when it exists."""
    robot: Path | None = None
    """Robot YAML, by default config/robots/<name>.yaml of the robot that a bag names; without one
    there are no measured joints, limits and expected rates."""
    pictures: Annotated[int, tyro.conf.arg(aliases=['-n'])] = 8
    """Pictures per camera and episode; fewer make a smaller page."""


def run(options: Report) -> int:
    """Write the page and say what is in it."""
    if options.pictures < 0:
        msg = f'--pictures must be at least 0, got {options.pictures}'
        raise ConfigError(msg)
    check_output('--out', options.out)
    given = None if options.robot is None else read_robot(options.robot)
    paths = find_bags(options.bags)
    console = Console()
    rows: list[Row] = []
    damaged: list[Damaged] = []
    sections: list[str] = []
    for path in track(paths, 'reading', console=console, transient=True):
        try:
            robot = given or find_robot(read_metadata(path))
            overview = read_overview(path, robot, options.pictures)
        except ConfigError as error:
            damaged.append(Damaged(path.name, str(error)))
            print(f'cosmos-policy: {error}', file=sys.stderr)
            continue
        rows.append(describe(overview))
        sections.append(section(overview))
    title = paths[0].name if len(paths) == 1 else options.bags[0].resolve().name
    with options.out.open('w', encoding='utf-8') as file:
        file.writelines(page(title, rows, damaged, sections))
    size_mb = options.out.stat().st_size * 1e-6
    console.print(
        f'{options.out}: {len(rows)} episodes, {len(damaged)} damaged, {size_mb:.1f} MB',
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    return 0 if rows else 1


def find_bags(given: tuple[Path, ...]) -> list[Path]:
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
    """Whether a path looks like a bag, whole or damaged."""
    return path.is_dir() and any(any(path.glob(pattern)) for pattern in STORAGE)


def find_robot(metadata: dict[str, str]) -> RobotSpec | None:
    """Return the robot that a bag names, None when there is no file for it."""
    name = metadata.get('robot', '')
    path = share_path('config', 'robots', f'{name}.yaml')
    return read_robot(path) if name and path.parent.name == 'robots' and path.is_file() else None
