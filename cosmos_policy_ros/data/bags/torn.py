# SPDX-License-Identifier: Apache-2.0
"""The messages of storage files that a recorder did not finish, up to where they end.

Source: https://mcap.dev/spec, "the MCAP file may be truncated".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
import sqlite3
import struct
from typing import BinaryIO

from mcap.exceptions import McapError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader

TORN = (McapError, struct.error, ValueError, LookupError, OSError)  # a file that ends anywhere
Found = tuple[str, str, int, bytes]  # topic, message type, arrival [ns], serialized


def read_torn_mcap(path: Path) -> Iterator[Found]:
    """Yield the messages of an MCAP file in its order until the file or its sense ends."""
    with path.open('rb') as file:
        yield from read_open_mcap(file)


def read_open_mcap(file: BinaryIO) -> Iterator[Found]:
    """Yield the messages of an open MCAP file in its order until the file or its sense ends."""
    schemas: dict[int, str] = {}
    channels: dict[int, tuple[str, str]] = {}
    records = iter(StreamReader(file).records)
    while True:
        try:
            record = next(records)
            if isinstance(record, Schema):
                schemas[record.id] = record.name
            elif isinstance(record, Channel):
                channels[record.id] = record.topic, schemas[record.schema_id]
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
