# SPDX-License-Identifier: Apache-2.0
"""Check of the options that are counts."""

from __future__ import annotations

from typing import Any

from cosmos_policy_ros.types import ConfigError


def check_counts(options: Any, *names: str) -> None:
    """Refuse counts below 1.

    Args:
        options: Options of a command.
        names: Which of them are counts.

    Raises:
        ConfigError: One is below 1; it is named as on the command line.
    """
    for name in names:
        if getattr(options, name) < 1:
            msg = f'--{name} must be at least 1, got {getattr(options, name)}'
            raise ConfigError(msg)
