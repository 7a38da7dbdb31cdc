# SPDX-License-Identifier: Apache-2.0
"""Bags on disk: which there are, and what one holds, as it was recorded.

The storage files of a bag say everything but its custom data, so ``metadata.yaml`` may be missing,
edited or that of ``ros2 bag reindex``: what is there is read, and one line says what was not.
Nothing is put on a grid or checked for gaps here; ``reader.py`` does that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
import re
import shutil
import sqlite3
import struct
import tempfile
from typing import Any

from cosmos_policy_ros.data.bags.metadata_yaml import parse_metadata
from cosmos_policy_ros.data.bags.torn import (
    Found,
    is_finished,
    read_torn_mcap,
    scan_sqlite,
)
from cosmos_policy_ros.data.bags.writer import decode_cdr, INFORMATION, typestore
from cosmos_policy_ros.data.bags.written import Arrival, written_in_mcap, written_in_sqlite
from cosmos_policy_ros.data.reading import note
from cosmos_policy_ros.outputs import OutputError
from cosmos_policy_ros.system_errors import FULL
from cosmos_policy_ros.types import ConfigError
from rosbags.rosbag2 import Reader, ReaderError, storage_mcap, storage_sqlite3
from rosbags.serde import SerdeError
import yaml
import zstandard

STORAGE = ('.mcap', '.db3')
PACKED = '.zstd'  # of a storage file that was compressed as a whole
METADATA = 'metadata.yaml'
# Custom data: the part of a recording that counts, from one time on and before another [s, since
# its first message]. A recording is trimmed or split by them, and its files stay as they are.
FROM, TO = 'from_s', 'to_s'
RELABELLED = 'relabelled'  # custom data: names of the labels that were changed afterwards
Message = tuple[str, int, bytes]  # topic, arrival [ns], serialized
Messages = dict[str, list[tuple[int, Any]]]  # topic -> (time [ns], message)

# what rosbags raises, by where a file is damaged, and the libraries that it reads with
_DAMAGE = (
    ReaderError, SerdeError, OSError, ValueError, LookupError, struct.error, AssertionError,
    TypeError, AttributeError, ArithmeticError, MemoryError, RuntimeError, sqlite3.Error,
    zstandard.ZstdError, yaml.YAMLError,
    storage_sqlite3.apsw.Error, storage_mcap.zstd.ZstdError,  # type: ignore[attr-defined]
)  # fmt: skip


@dataclass(frozen=True)
class Bag:
    """An open bag.

    Attributes:
        path: Its folder, or its only file.
        custom: Custom data, such as ``robot`` and ``seed``; empty where nobody left any.
        types: Topic with messages -> their type, ``package/msg/Name``.
        silent: Topics that were recorded and on which there was no message.
        torn: Whether a file of it ends before it was finished.
        recorded_ns: Arrival of the first message in its files [ns], 0 without any.
        start_ns: The same of the part that counts, see ``FROM`` and ``TO``.
        end_ns: Arrival of the last one of it [ns].
        read: Returns the messages of some topics, or of all for None, in the order of the file.
        written: Returns the arrivals of all topics in its files in the order of writing.
    """

    path: Path
    custom: Mapping[str, str]
    types: Mapping[str, str]
    silent: Collection[str]
    torn: bool
    recorded_ns: int
    start_ns: int
    end_ns: int
    read: Callable[[Collection[str] | None], Iterator[Message]]
    written: Callable[[], Iterator[Arrival]]

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Message]:
        """Yield topic, arrival [ns] and serialized message of some topics, or of all."""
        return self.read(topics)

    def decode(self, topic: str, data: bytes) -> Any:
        """Return a message of a topic.

        Raises:
            ConfigError: Its type is not known.
        """
        if self.types[topic] not in typestore().types:
            msg = f'{topic} is of type {self.types[topic]}, which is not read'
            raise ConfigError(msg)
        return decode_cdr(data, self.types[topic])


@dataclass(frozen=True)
class _Storage:
    """One storage file: topics, whether it is torn, its span [ns], and what reads it."""

    types: dict[str, str]
    silent: set[str]
    torn: bool
    start_ns: int
    end_ns: int
    read: Callable[[Collection[str] | None], Iterator[Message]]
    written: Callable[[], Iterator[Arrival]]


def is_bag(path: Path) -> bool:
    """Whether a path is a bag by what lies in it, whole or damaged; a bare file is one too."""
    if path.is_file():
        return path.name.removesuffix(PACKED).endswith(STORAGE)
    if not path.is_dir():
        return False
    if (path / METADATA).is_file():
        return True
    # <bag>_0.mcap and <bag>_1.mcap are one; files of other names are an episode each
    names = [entry.name.removesuffix(PACKED) for entry in path.iterdir() if entry.is_file()]
    return len({re.sub(r'_\d+$', '', Path(n).stem) for n in names if n.endswith(STORAGE)}) == 1


def read_topics(path: Path, topics: Collection[str]) -> Messages:
    """Return topic -> (arrival [ns, ROS clock], message); empty for a topic the bag lacks.

    Raises:
        ConfigError: The path is no bag or is damaged.
    """
    found: Messages = {topic: [] for topic in topics}
    with open_bag(path) as bag:
        for topic, bag_ns, data in bag.messages(topics):
            found[topic].append((bag_ns, bag.decode(topic, data)))
    return found


def read_metadata(path: Path) -> dict[str, str]:
    """Return the custom data of a bag, such as ``robot`` and ``seed``; raises as ``open_bag``."""
    with open_bag(path) as bag:
        return dict(bag.custom)


def relabelled(custom: Mapping[str, str]) -> set[str]:
    """Return which labels of a bag a person has changed after it was recorded."""
    return set(custom.get(RELABELLED, '').split())


@contextmanager
def open_bag(path: Path) -> Iterator[Bag]:
    """Open a bag; what goes wrong while it is read names the bag.

    Raises:
        ConfigError: The path is no bag, or nothing in it can be read.
    """
    with ExitStack() as stack:
        try:
            yield _open(path, stack)
        except OutputError:  # nothing is wrong with the bag
            raise
        except (ValueError, TimeoutError) as error:
            named = str(error).startswith('episode ')
            msg = str(error) if named else f'episode {path}: {error}'
            raise ConfigError(msg) from error
        except _DAMAGE as error:
            msg = f'episode {path} cannot be read ({str(error) or type(error).__name__})'
            raise ConfigError(msg) from error


def _open(path: Path, stack: ExitStack) -> Bag:
    """Open all storage files of a bag."""
    information = {} if path.is_file() else read_information(path)
    custom = _custom_of(information)
    storages = [
        _open_storage(file, information, stack) for file in _storage_files(path, information)
    ]
    types = {
        topic: kind
        for storage in storages
        for topic, kind in storage.types.items()
        if isinstance(topic, str) and isinstance(kind, str)  # a damaged table may hold others
    }
    spans = [(s.start_ns, s.end_ns) for s in storages if s.end_ns]
    recorded_ns = min((start for start, _ in spans), default=0)
    start_ns, end_ns = recorded_ns, max((end for _, end in spans), default=0)
    if FROM in custom:
        start_ns = recorded_ns + round(float(custom[FROM]) * 1e9)
    if TO in custom:
        end_ns = min(end_ns + 1, recorded_ns + round(float(custom[TO]) * 1e9))

    def read(topics: Collection[str] | None) -> Iterator[Message]:
        messages = chain.from_iterable(storage.read(topics) for storage in storages)
        if FROM in custom or TO in custom:
            return _part(messages, start_ns, end_ns if TO in custom else end_ns + 1)
        return messages

    def written() -> Iterator[Arrival]:
        return chain.from_iterable(storage.written() for storage in storages)

    return Bag(
        path,
        custom,
        types,
        {topic for storage in storages for topic in storage.silent} - {*types},
        any(storage.torn for storage in storages),
        recorded_ns,
        start_ns,
        end_ns,
        read,
        written,
    )


def _part(messages: Iterator[Message], start_ns: int, end_ns: int) -> Iterator[Message]:
    """Yield what arrived from a time on and before another [ns].

    What was newest of every topic at the first of them comes first.
    """
    newest: dict[str, tuple[int, list[bytes]]] = {}  # topic -> arrival, and all that came then
    for topic, bag_ns, data in messages:
        if bag_ns <= start_ns:
            if topic not in newest or newest[topic][0] != bag_ns:
                newest[topic] = bag_ns, []
            newest[topic][1].append(data)
            continue
        yield from _arrived(newest, start_ns)
        newest.clear()
        if bag_ns < end_ns:
            yield topic, bag_ns, data
    if any(last_ns == start_ns for last_ns, _ in newest.values()):  # it ends where it begins
        yield from _arrived(newest, start_ns)


def _arrived(newest: dict[str, tuple[int, list[bytes]]], at_ns: int) -> Iterator[Message]:
    for name, (_, came) in newest.items():
        yield from ((name, at_ns, each) for each in came)


def read_custom(path: Path) -> dict[str, str]:
    """Return the custom data in metadata.yaml, nothing where it is missing or damaged.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    return _custom_of(read_information(path))


def _custom_of(information: Mapping[str, Any]) -> dict[str, str]:
    """Return the custom data of what metadata.yaml says; most bags have null there."""
    custom = information.get('custom_data')
    custom = custom if isinstance(custom, dict) else {}
    return {str(key): str(value) for key, value in custom.items()}


def read_information(path: Path) -> dict[str, Any]:
    """Return what metadata.yaml says, nothing where it is missing or damaged."""
    file = path / METADATA
    if not path.is_dir():
        msg = 'there is no such file or folder'
        raise FileNotFoundError(msg)
    if not file.is_file():
        what = f'{METADATA} is missing, as after a recorder that was killed; its files are read'
        note(str(path), f'{what} without (ros2 bag reindex makes a new one)')
        return {}
    try:
        text = file.read_text(encoding='utf-8')
        information = parse_metadata(text, words=True)[INFORMATION]
        return dict(information)
    except (yaml.YAMLError, TypeError, LookupError, ValueError) as error:
        line = str(error).splitlines()[0]
        note(str(path), f'{METADATA} is damaged ({line}); its files are read without')
        return {}


def _storage_files(path: Path, information: Mapping[str, Any]) -> list[Path]:
    """Return the storage files in the order of their numbers."""
    if path.is_file():
        return [path]
    there = [p for p in path.iterdir() if p.name.removesuffix(PACKED).endswith(STORAGE)]
    by_number = sorted(there, key=_file_number)
    listed = [Path(str(name)).name for name in information.get('relative_file_paths') or ()]
    missing = sorted(set(listed) - {p.name for p in there})
    if missing:
        note(str(path), f'{METADATA} names files that are not there: {", ".join(missing)}')
    if not there:
        msg = f'no storage file ({", ".join(STORAGE)}) is in it'
        raise ReaderError(msg)
    taken = [p for p in by_number if not listed or p.name in listed] or by_number
    if others := [p.name for p in by_number if p not in taken]:
        note(str(path), f'left out, since {METADATA} does not name them: {", ".join(others)}')
    return taken


def _file_number(file: Path) -> list[int]:
    """Return the number behind the name of a storage file; the 3 of ``.db3`` is none."""
    stem = Path(file.name.removesuffix(PACKED)).stem
    return [int(number) for number in re.findall(r'\d+', stem)][-1:]


def _open_storage(file: Path, information: Mapping[str, Any], stack: ExitStack) -> _Storage:
    """Open one storage file, torn or whole."""
    if file.suffix == PACKED:
        file = _unpack(file, stack)
    mode = str(information.get('compression_mode') or '').lower()
    torn, silent = False, set[str]()
    try:
        _refuse_log(file)
        reader = stack.enter_context(Reader(file))
    except _DAMAGE as error:
        torn = not is_finished(file)
        types, start_ns, end_ns, read = _scan_torn(file, error, torn)
        written = partial(_arrivals, read)
    else:
        counted = any(c.msgcount for c in reader.connections)  # MCAP may leave the counts out
        types = {c.topic: c.msgtype for c in reader.connections if c.msgcount or not counted}
        silent = {c.topic for c in reader.connections} - {*types}
        read = partial(_read_whole, file, reader)
        written = partial(written_in_sqlite, file)
        storage = reader.storage
        if isinstance(storage, storage_mcap.McapReader) and storage.chunks:
            topics = {c.id: c.topic for c in storage.connections}
            written = partial(written_in_mcap, file, storage.chunks, topics)
        elif isinstance(storage, storage_mcap.McapReader):
            # without an index to order them by, rosbags refuses arrivals that do not rise
            read = partial(_read_scanned, read_torn_mcap, file)
            written = partial(_arrivals, read)
        start_ns, end_ns = (
            (reader.start_time, reader.end_time - 1) if reader.message_count else (0, 0)
        )
    if mode == 'message':
        read = partial(_unpacked, read)
    return _Storage(types, silent, torn, start_ns, end_ns, read, written)


def _arrivals(read: Callable[[Collection[str] | None], Iterator[Message]]) -> Iterator[Arrival]:
    """Yield the arrivals of all messages of a file that is read in the order of writing."""
    return ((topic, bag_ns) for topic, bag_ns, _ in read(None))


def _refuse_log(file: Path) -> None:
    """Refuse a SQLite file beside which there is a log of newer messages, which rosbags ignores.

    Raises:
        ReaderError: There is, as after a recorder that was killed.
    """
    log = file.with_name(f'{file.name}-wal')
    if log.is_file() and log.stat().st_size:
        msg = f'{log.name} is beside it'
        raise ReaderError(msg)


def _read_whole(file: Path, reader: Reader, topics: Collection[str] | None) -> Iterator[Message]:
    """Yield the messages of a file that its recorder has finished, without damaged chunks."""
    wanted = [c for c in reader.connections if topics is None or c.topic in topics]
    n_read: Counter[str] = Counter()
    try:
        for connection, bag_ns, data in reader.messages(wanted) if wanted else ():
            n_read[connection.topic] += 1
            yield connection.topic, bag_ns, data
    except _DAMAGE:
        if file.suffix != '.mcap':
            raise
        known = {c.id: (c.topic, c.msgtype) for c in reader.connections}
        scan = partial(read_torn_mcap, known=known)
        for topic, bag_ns, data in _read_scanned(scan, file, topics):
            if n_read[topic]:
                n_read[topic] -= 1
            else:
                yield topic, bag_ns, data


def _scan_torn(
    file: Path, error: BaseException, torn: bool
) -> tuple[dict[str, str], int, int, Callable[[Collection[str] | None], Iterator[Message]]]:
    """Return topics, time span and reader of a file that is torn, or of no ROS 2 recorder.

    Raises:
        ReaderError: It holds no message.
    """
    scan = read_torn_mcap if file.suffix == '.mcap' else scan_sqlite
    types: dict[str, str] = {}
    start_ns = end_ns = 0
    for topic, kind, bag_ns, _ in scan(file):
        types[topic] = kind
        start_ns, end_ns = min(start_ns or bag_ns, bag_ns), max(end_ns, bag_ns)
    if not types:
        msg = f'{file.name}: {error}; no whole message is in it'
        raise ReaderError(msg) from error
    if torn and scan is scan_sqlite:
        seconds = (end_ns - start_ns) * 1e-9
        what = f'torn, as after a recorder that was killed; its first {seconds:.1f} s are read'
        note(str(file), what)
    return types, start_ns, end_ns, partial(_read_scanned, scan, file)


def _read_scanned(
    scan: Callable[[Path], Iterator[Found]], file: Path, topics: Collection[str] | None
) -> Iterator[Message]:
    """Yield the messages of a file from its beginning to its end."""
    for topic, _, bag_ns, data in scan(file):
        if topics is None or topic in topics:
            yield topic, bag_ns, data


def _unpacked(
    read: Callable[[Collection[str] | None], Iterator[Message]], topics: Collection[str] | None
) -> Iterator[Message]:
    """Yield messages that were compressed one by one."""
    for topic, bag_ns, data in read(topics):
        yield topic, bag_ns, zstandard.ZstdDecompressor().decompressobj().decompress(data)


def _unpack(file: Path, stack: ExitStack) -> Path:
    """Return a storage file that was compressed as a whole, in a folder for the time being.

    Raises:
        OutputError: The disk of temporary files is full.
    """
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='cosmos_policy_bag_')))
    unpacked = folder / file.name.removesuffix(PACKED)
    try:
        with file.open('rb') as packed, unpacked.open('wb') as whole:
            shutil.copyfileobj(zstandard.ZstdDecompressor().stream_reader(packed), whole)
    except OSError as error:
        if error.errno not in FULL:
            raise
        msg = f'{file} is unpacked into {folder.parent}, where the disk is full; set TMPDIR to a '
        msg += 'folder on another disk'
        raise OutputError(msg) from error
    return unpacked
