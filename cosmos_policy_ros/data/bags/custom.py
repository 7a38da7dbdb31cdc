# SPDX-License-Identifier: Apache-2.0
"""Custom data of a bag that was recorded: labels and the like, without a message written again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from cosmos_policy_ros.data.bags.files import METADATA, read_custom, RELABELLED, relabelled
from cosmos_policy_ros.data.bags.metadata_yaml import parse_metadata
from cosmos_policy_ros.data.bags.writer import custom_text, INFORMATION
from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.types import ConfigError
import yaml

HINT = 'that could hold it; make one with: ros2 bag reindex'
# In C, where that is there: the recorder keeps up with its sensors while it writes a label.
DUMPER = getattr(yaml, 'CSafeDumper', yaml.SafeDumper)


def write_custom(bag: Path, custom: Mapping[str, str], forget: Collection[str] = ()) -> None:
    """Set custom data of a bag, and leave all else of it as it is.

    Args:
        bag: Its folder.
        custom: Name -> value.
        forget: Names that it has no longer.

    Raises:
        ConfigError: It is a bare file, or its ``metadata.yaml`` is missing or damaged.
    """
    _expect_metadata(bag)
    there = {name: value for name, value in read_custom(bag).items() if name not in forget}
    _replace_custom(bag, {**there, **custom})


def relabel_bag(bag: Path, labels: Mapping[str, str | bool | float]) -> None:
    """Write labels over those of a bag, which notes that they were given after it was recorded.

    Raises:
        ConfigError: As ``write_custom``.
    """
    _expect_metadata(bag)
    custom = read_custom(bag)
    changed = {name: custom_text(value) for name, value in labels.items()}
    names = sorted(relabelled(custom) | set(labels))
    _replace_custom(bag, {**custom, **changed, RELABELLED: ' '.join(names)})


def _expect_metadata(bag: Path) -> None:
    if not (bag / METADATA).is_file():
        msg = f'{bag} has no {METADATA} {HINT}'
        raise ConfigError(msg)


def _replace_custom(bag: Path, custom: dict[str, str]) -> None:
    """Write all custom data of a bag, and leave all else of it as it is.

    Raises:
        ConfigError: Its ``metadata.yaml`` is damaged.
    """
    file = bag / METADATA
    try:
        content = parse_metadata(file.read_text(encoding='utf-8'))
        content[INFORMATION]['custom_data'] = custom
    except (yaml.YAMLError, TypeError, LookupError, ValueError) as error:
        msg = f'{bag} has no whole {METADATA} {HINT} ({str(error).splitlines()[0]})'
        raise ConfigError(msg) from error
    with whole_file(file) as partial:
        text = yaml.dump(content, Dumper=DUMPER, sort_keys=False)
        partial.write_text(text, encoding='utf-8')
