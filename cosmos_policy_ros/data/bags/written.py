# SPDX-License-Identifier: Apache-2.0
"""In which order the messages of a storage file were written, which whoever sorts them loses.

Where the clock of a computer is set back while it records, messages of two times have the same
arrivals. Sorted, they are one stream; only the order in which they were written tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from io import BytesIO
from operator import itemgetter
from pathlib import Path
import sqlite3

from cosmos_policy_ros.data.bags.torn import TORN
from mcap.records import MessageIndex
from mcap.stream_reader import StreamReader
from rosbags.rosbag2.storage_mcap import ChunkInfo

Arrival = tuple[str, int]  # topic, when a message of it arrived [ns]


def written_in_mcap(
    path: Path, chunks: Iterable[ChunkInfo], topics: Mapping[int, str]
) -> Iterator[Arrival]:
    """Yield the arrivals of every topic of an MCAP file in the order in which they were written.

    They are read from the indexes behind the chunks, not from the messages.

    Args:
        path: The file.
        chunks: Where its chunks are.
        topics: Channel -> topic.
    """
    with path.open('rb') as file:
        for chunk in sorted(chunks, key=lambda chunk: chunk.chunk_start_offset):
            with suppress(*TORN):  # damage, and the end of an index
                file.seek(chunk.chunk_start_offset + chunk.chunk_length)
                index = BytesIO(file.read(chunk.message_index_length))
                for record in StreamReader(index, skip_magic=True).records:
                    if isinstance(record, MessageIndex) and record.channel_id in topics:
                        by_place = sorted(record.records, key=itemgetter(1))
                        yield from ((topics[record.channel_id], ns) for ns, _ in by_place)


def written_in_sqlite(path: Path) -> Iterator[Arrival]:
    """Yield the arrivals of a whole SQLite file in the order in which they were written.

    Raises:
        sqlite3.Error: It is damaged.
    """
    with closing(sqlite3.connect(f'{path.resolve().as_uri()}?immutable=1', uri=True)) as base:
        query = 'SELECT name, timestamp FROM messages JOIN topics '
        yield from base.execute(query + 'ON topics.id = topic_id ORDER BY messages.id')
