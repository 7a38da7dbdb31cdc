# SPDX-License-Identifier: Apache-2.0
"""The messages of storage files that a recorder did not finish, up to where they end.

Also those of MCAP files that are whole and of no ROS 2 recorder, or have no index.

Source: https://mcap.dev/spec, "the MCAP file may be truncated".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
import sqlite3
import struct
from typing import BinaryIO

from mcap.exceptions import McapError
from mcap.records import Channel, Footer, Message, Schema
from mcap.stream_reader import StreamReader
import zstandard

TORN = (  # what a file raises that ends anywhere, or has blocks of zeros after a power cut
    McapError, struct.error, ValueError, LookupError, OSError, ArithmeticError, MemoryError,
    RuntimeError, zstandard.ZstdError,
)  # fmt: skip
Found = tuple[str, str, int, bytes]  # topic, message type, arrival [ns], serialized


def is_finished(path: Path) -> bool:
    """Return whether an MCAP file is whole and undamaged to its end; of SQLite nobody can tell."""
    if path.suffix != '.mcap':
        return False
    try:
        with path.open('rb') as file:
            last = deque(StreamReader(file, validate_crcs=True).records, maxlen=1)
        return isinstance(last[0], Footer)
    except TORN:
        return False


def read_torn_mcap(path: Path) -> Iterator[Found]:
    """Yield the messages of an MCAP file in its order until the file or its sense ends."""
    with path.open('rb') as file:
        yield from read_open_mcap(file)


def read_open_mcap(file: BinaryIO) -> Iterator[Found]:
    """Yield the messages of an open MCAP file in its order until the file or its sense ends.

    The type of messages that are not serialized as ROS 2 does it names how they are.
    """
    schemas: dict[int, str] = {}
    channels: dict[int, tuple[str, str]] = {}
    records = iter(StreamReader(file).records)
    while True:
        try:
            record = next(records)
            if isinstance(record, Schema):
                schemas[record.id] = record.name
            elif isinstance(record, Channel):
                kind, how = schemas.get(record.schema_id, 'no type'), record.message_encoding
                channels[record.id] = record.topic, kind if how == 'cdr' else f'{kind} ({how})'
        except (StopIteration, *TORN):
            return
        if isinstance(record, Message) and record.channel_id in channels:
            yield *channels[record.channel_id], record.log_time, record.data


def scan_sqlite(path: Path) -> Iterator[Found]:
    """Yield the messages of a SQLite file in the order of arrival until it is damaged."""
    try:
        with closing(sqlite3.connect(f'{path.resolve().as_uri()}?mode=ro', uri=True)) as base:
            query = 'SELECT name, type, timestamp, data FROM messages JOIN topics '
            yield from base.execute(query + 'ON topics.id = topic_id ORDER BY timestamp')
    except sqlite3.Error:
        return
