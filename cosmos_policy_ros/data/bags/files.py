# SPDX-License-Identifier: Apache-2.0
"""Bags on disk: which there are, and what one holds, as it was recorded.

Nothing is put on a grid or checked for gaps here; ``reader.py`` does that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
import struct
from typing import Any

from cosmos_policy_ros.data.bags.writer import typestore
from cosmos_policy_ros.outputs import PARTIAL
from cosmos_policy_ros.types import ConfigError
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.serde import SerdeError

Messages = dict[str, list[tuple[int, Any]]]  # topic -> (time [ns], message)

# what rosbags raises, by where a file is damaged
_DAMAGE = (ReaderError, SerdeError, OSError, ValueError, LookupError, struct.error, AssertionError)


def list_bags(folder: Path) -> list[Path]:
    """Return the bag folders inside ``folder`` in name order.

    Those that end in ``.partial`` are unfinished, those that begin with a dot are no bags.

    Raises:
        ConfigError: There is none.
    """
    folders = [p for p in folder.iterdir() if p.is_dir()] if folder.is_dir() else []
    paths = sorted(p for p in folders if p.suffix != PARTIAL and p.name[0] != '.')
    if not paths:
        msg = (
            f'no episodes in {folder}; record some with: cosmos-policy demonstrate --out {folder}'
        )
        raise ConfigError(msg)
    return paths


def read_topics(path: Path, topics: Collection[str]) -> Messages:
    """Return topic -> (arrival [ns, ROS clock], message); empty for a topic the bag lacks.

    Raises:
        ConfigError: The folder is no bag or is damaged.
    """
    found: Messages = {topic: [] for topic in topics}
    with open_bag(path) as bag:
        connections = [c for c in bag.connections if c.topic in found]
        for connection, bag_ns, data in bag.messages(connections) if connections else ():
            message = typestore().deserialize_cdr(data, connection.msgtype)
            found[connection.topic].append((bag_ns, message))
    return found


def read_metadata(path: Path) -> dict[str, str]:
    """Return the custom data of a bag, such as ``robot`` and ``seed``; raises as ``open_bag``."""
    with open_bag(path) as bag:
        return dict(bag.storage.metadata.custom or {})


@contextmanager
def open_bag(path: Path) -> Iterator[Reader]:
    """Open a bag; what goes wrong while it is read names the bag.

    Raises:
        ConfigError: The folder is no bag or is damaged.
    """
    try:
        with Reader(path) as bag:
            yield bag
    except _DAMAGE as error:
        msg = f'episode {path} cannot be read ({error}); record it again or remove the folder'
        raise ConfigError(msg) from error
