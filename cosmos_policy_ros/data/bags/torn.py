# SPDX-License-Identifier: Apache-2.0
"""The messages of storage files that a recorder did not finish, up to where they end.

Also those of MCAP files that are whole and of no ROS 2 recorder, have no index, or have lost
something in their middle.

Source: https://mcap.dev/spec, "the MCAP file may be truncated".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing
import os
from pathlib import Path
import sqlite3
import struct
from typing import BinaryIO

from cosmos_policy_ros.data.reading import note
from mcap.exceptions import McapError
from mcap.records import Channel, Chunk, Footer, McapRecord, Message, Schema
from mcap.stream_reader import breakup_chunk, StreamReader
import zstandard

TORN = (  # what a file raises that ends anywhere, or has blocks of zeros after a power cut
    McapError, struct.error, ValueError, LookupError, OSError, ArithmeticError, MemoryError,
    RuntimeError, zstandard.ZstdError,
)  # fmt: skip
Topic = tuple[str, str]  # its name, message type
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


def read_torn_mcap(path: Path, known: Mapping[int, Topic] | None = None) -> Iterator[Found]:
    """Yield the messages of an MCAP file as ``read_open_mcap`` does."""
    with path.open('rb') as file:
        yield from read_open_mcap(file, known)


def read_open_mcap(file: BinaryIO, known: Mapping[int, Topic] | None = None) -> Iterator[Found]:
    """Yield the messages of an open MCAP file in its order until the file or its sense ends.

    Damaged chunks are left out. One line says when they were, and one where a file ends early. The
    type of messages that are not serialized as ROS 2 does it names how they are.

    Args:
        file: Open at its beginning.
        known: Topics by channel, as far as an index says them.
    """
    schemas: dict[int, str] = {}
    channels: dict[int, Topic] = dict(known or {})
    holes: list[str] = []
    first_ns = last_ns = n_nameless = n_bytes = 0
    damaged = whole = False  # whether the chunk before was, whether the end was reached
    for records in _chunks(file):
        if records is None:
            damaged = True
            continue
        for record in records:
            if isinstance(record, Schema):
                schemas[record.id] = record.name
            elif isinstance(record, Channel):
                kind, how = schemas.get(record.schema_id, 'no type'), record.message_encoding
                channels[record.id] = record.topic, kind if how == 'cdr' else f'{kind} ({how})'
            elif isinstance(record, Message) and record.channel_id in channels:
                first_ns = first_ns or record.log_time
                if damaged:
                    since_s, until_s = last_ns - first_ns, record.log_time - first_ns
                    holes.append(f'{max(since_s, 0) * 1e-9:.2f} to {until_s * 1e-9:.2f} s')
                    damaged = False
                last_ns = max(last_ns, record.log_time)
                yield *channels[record.channel_id], record.log_time, record.data
            elif isinstance(record, Message):
                n_nameless += 1
            whole = isinstance(record, Footer)
        n_bytes = file.tell()
    seconds = (last_ns - first_ns) * 1e-9
    if damaged and whole:
        holes.append(f'{seconds:.2f} s to its end')
    if holes:
        when = f'{", ".join(holes)} after its first message'
        note(file.name, f'damaged on the disk; left out what it held from {when}')
    if n_nameless:
        note(file.name, f'left out {n_nameless} messages whose topics were named in what is lost')
    if not whole:
        mb = f'{n_bytes * 1e-6:.1f} of {os.fstat(file.fileno()).st_size * 1e-6:.1f} MB'
        what = f'torn, as after a recorder that was killed; its first {seconds:.1f} s are read'
        note(file.name, f'{what}, {mb}')


def _chunks(file: BinaryIO) -> Iterator[list[McapRecord] | None]:
    """Yield the records of an MCAP file, those of a chunk at once; None for a damaged chunk."""
    found = StreamReader(file, emit_chunks=True).records
    while True:
        try:
            record = next(found)
        except (StopIteration, *TORN):
            return
        records: list[McapRecord] | None = [record]
        if isinstance(record, Chunk):
            try:
                records = breakup_chunk(record, validate_crc=True)
            except TORN:
                records = None
        yield records


def scan_sqlite(path: Path) -> Iterator[Found]:
    """Yield the messages of a SQLite file in the order of writing until it is damaged."""
    try:
        with closing(sqlite3.connect(f'{path.resolve().as_uri()}?mode=ro', uri=True)) as base:
            query = 'SELECT name, type, timestamp, data FROM messages JOIN topics '
            yield from base.execute(query + 'ON topics.id = topic_id ORDER BY messages.id')
    except sqlite3.Error:
        return
