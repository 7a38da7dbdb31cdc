# SPDX-License-Identifier: Apache-2.0
"""Measurements of a recorded bag: its stamps, and how fast a plain writer stores it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
import time

from cosmos_policy_ros.data.bags.writer import definition, read_stamp
from rosbags.rosbag2 import Reader, StoragePlugin, Writer


def measure_writer(source: Path, target: Path, max_mb: float = 500.0) -> float:
    """Return the speed of writing [MB of 10**6 bytes per second] from memory to a new bag.

    Args:
        source: Bag with the messages.
        target: Folder of the new bag, which must not exist.
        max_mb: How much is written at most.
    """
    messages, n_bytes = [], 0
    with Reader(source) as bag:
        for connection, stamp_ns, data in bag.messages():
            messages.append((connection.topic, connection.msgtype, stamp_ns, data))
            n_bytes += len(data)
            if n_bytes > max_mb * 1e6:
                break
    start_s = time.perf_counter()
    with Writer(target, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}
        for topic, msg_type, stamp_ns, data in messages:
            if topic not in connections:
                text, digest = definition(msg_type)
                connections[topic] = writer.add_connection(
                    topic, msg_type, msgdef=text, rihs01=digest
                )
            writer.write(connections[topic], stamp_ns, data)
    return n_bytes / 1e6 / (time.perf_counter() - start_s)


def read_stamps(path: Path, topics: Collection[str]) -> dict[str, list[int]]:
    """Return topic -> header stamps [ns, ROS clock], read without decoding a message.

    Args:
        path: Bag folder.
        topics: Topics whose messages begin with a header.
    """
    found: dict[str, list[int]] = {topic: [] for topic in topics}
    with Reader(path) as bag:
        connections = [c for c in bag.connections if c.topic in found]
        for connection, _, data in bag.messages(connections) if connections else ():
            found[connection.topic].append(read_stamp(data))
    return found
