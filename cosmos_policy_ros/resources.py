# SPDX-License-Identifier: Apache-2.0
"""Where the folders ``config/`` and ``models/`` of this package lie."""

from __future__ import annotations

from pathlib import Path

PACKAGE = 'cosmos_policy_ros'


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
