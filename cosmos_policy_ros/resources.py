# SPDX-License-Identifier: Apache-2.0
"""Where ``config/``, ``models/``, logs and reports lie, and which robot file a name means."""

from __future__ import annotations

import os
from pathlib import Path
import tempfile

PACKAGE = 'cosmos_policy_ros'
COMMITTED = ('aloha_sim', 'aloha_sim_planning')  # checkpoints in models/ of every copy


def share_path(*parts: str) -> Path:
    """Return a path below the folder that holds ``config/`` and ``models/``.

    That is the source tree when this file lies in one (also when installed as editable), else the
    ``share/cosmos_policy_ros`` of the prefix this package is installed in.

    Raises:
        FileNotFoundError: This copy of the package was installed without its data files.
    """
    here = Path(__file__).resolve()
    source = here.parents[1]
    if (source / 'package.xml').is_file():
        return source.joinpath(*parts)
    for prefix in here.parents:
        share = prefix / 'share' / PACKAGE
        if (share / 'package.xml').is_file():
            return share.joinpath(*parts)
    msg = f'no share/{PACKAGE} above {here}; install the package with colcon build or pip install'
    raise FileNotFoundError(msg)


def find_robot_file(name: str) -> Path | None:
    """Return ``config/robots/<name>.yaml``, None where this package has no robot of that name.

    Args:
        name: Such as ``aloha_sim``; whatever a bag holds may be given, and no other folder is
            ever looked into.
    """
    robots = share_path('config', 'robots')
    path = robots / f'{name}.yaml'
    return path if name and path.parent == robots and path.is_file() else None


def robot_file(robot: str | Path) -> Path:
    """Return the robot YAML that a name or a path means.

    Args:
        robot: Name of a file in ``config/robots`` without its suffix, such as ``aloha_sim``, or a
            path, which is returned as it is.
    """
    return find_robot_file(str(robot)) or Path(robot)


def home() -> Path:
    """Return the home folder; that of temporary files for a user who has none, in a container."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir())


def ros_logs() -> Path | None:
    """Return the folder that ROS 2 logs to; None where it knows none, and no node would start.

    ROS looks for the home folder in ``HOME`` alone, which services do not have.
    """
    given, folder = os.environ.get('ROS_LOG_DIR'), os.environ.get('ROS_HOME')
    if not given and not folder and not os.environ.get('HOME'):
        return None
    return Path(given or Path(folder or '~/.ros') / 'log').expanduser()


def fault_reports() -> Path:
    """Return the folder of the reports of faults: in that of the logs of ROS 2."""
    return (ros_logs() or Path(tempfile.gettempdir())) / 'fault_reports'
