# SPDX-License-Identifier: Apache-2.0
"""Files that commands write when their work is done."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.types import ConfigError


def check_output(option: str, file: Path | None) -> None:
    """Refuse a file that could not be written, before hours of work end in an error.

    Args:
        option: What names the file, such as ``--json``.
        file: The file; None is fine.

    Raises:
        ConfigError: Its folder does not exist.
    """
    if file is not None and not file.absolute().parent.is_dir():
        msg = f'{option} {file}: there is no folder {file.parent}; make it first'
        raise ConfigError(msg)
