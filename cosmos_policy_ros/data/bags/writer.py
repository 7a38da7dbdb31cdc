# SPDX-License-Identifier: Apache-2.0
"""One episode as one rosbag2 folder (MCAP), written without a ROS installation.

The topics and types are those of the running stack, so that ``ros2 bag``, Foxglove and
``reader.py`` open simulated and real episodes alike. Chunks may be compressed with zstd:
rendered 320x240 images shrink a lot and writing gets faster than without; the noise of real
cameras hardly shrinks and costs a core.

The folder is called ``<name>.partial`` until it is closed, and ``metadata.yaml`` in it holds the
custom data with ``complete: 'false'``; ``recovery.py`` makes a bag of one that nobody closed.

Source: rosbag2 bag format version 9, https://mcap.dev/spec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
import contextlib
import fcntl
from functools import lru_cache
import io
import os
from pathlib import Path
import shutil
import struct
from typing import Any

from cosmos_policy_ros.image_decoder import COMPRESSED_VIDEO, IMAGE, VIDEO_PACKET
from cosmos_policy_ros.outputs import kept_whole, partial_folder, rename, sync, sync_open
from cosmos_policy_ros.topics import offered_qos, Qos
import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import (
    Connection,
    Qos as BagQos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.serde import SerdeError
from rosbags.typesys import get_types_from_msg, get_typestore, Stores
from rosbags.typesys.store import Typestore
import yaml

PIECE = 65536  # [bytes] of a file that are written in one call
INFORMATION = 'rosbag2_bagfile_information'  # the key of metadata.yaml that holds everything
JOINT_STATE = 'sensor_msgs/msg/JointState'
STRING = 'std_msgs/msg/String'
BOOL = 'std_msgs/msg/Bool'
INT8 = 'std_msgs/msg/Int8'
FOREVER = QosTime(9223372036, 854775807)  # no deadline, as rosbag2 writes it


OTHERS = {  # types that cameras of other packages use
    COMPRESSED_VIDEO: (
        'builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n'
    ),
    VIDEO_PACKET: (
        'std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\n'
        'uint8 flags\nbool is_bigendian\nuint8[] data\n'
    ),
}


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Return the message definitions of ROS 2 Jazzy and of ``OTHERS`` (built once, 0.1 s)."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, text in OTHERS.items():
        store.register(get_types_from_msg(text, name))
    return store


@lru_cache
def definition(msg_type: str) -> tuple[str, str]:
    """Return the definition of a message type and its hash.

    The first call takes seconds on a busy machine: ask before an episode for what it will need.
    """
    text, _ = typestore().generate_msgdef(msg_type, ros_version=2)
    return text, typestore().hash_rihs01(msg_type)


def custom_text(value: str | bool | float) -> str:
    """Return a value as the custom data of a bag has it: truths are ``true`` and ``false``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class BagWriter:
    """Write one episode; a context manager that leaves a whole bag or none.

    Leaving the ``with`` block by an exception removes the unfinished folder.
    """

    def __init__(self, path: Path, metadata: Mapping[str, str], compress: bool = True) -> None:
        """Create the folder, under its name for unfinished ones.

        Args:
            path: Folder of the bag, which must not exist.
            metadata: Kept in the bag as custom data: ``source``, ``task``, ``success``
                (``true`` or ``false``), ``robot``, ``seed``, the names of ``Circumstances``;
                ``complete`` is ``true`` unless given.
            compress: Whether chunks are compressed with zstd.

        Raises:
            ConfigError: The disk is full or cannot be written.
            FileExistsError: The folder or an unfinished one of that name exists.
        """
        partial = partial_folder(path)
        for there in (path, partial):
            if there.exists():
                msg = f'{there} exists and is not overwritten; choose another folder'
                raise FileExistsError(msg)
        self.path = path
        self._partial = partial
        self._disk = ThreadPoolExecutor(1, 'disk')  # has no thread before the first flush
        self._synced: Future[None] | None = None
        self._connections: dict[str, Connection] = {}
        with kept_whole(path, partial):
            self._open(partial, metadata, compress)

    def _open(self, partial: Path, metadata: Mapping[str, str], compress: bool) -> None:
        """Create the folder, and the file in it."""
        self._writer = Writer(partial, version=9, storage_plugin=StoragePlugin.MCAP)
        if compress:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        for key, value in {'complete': 'true', **metadata}.items():
            self._writer.set_custom_data(key, value)
        self._writer.open()
        storage = self._writer.storage
        assert isinstance(storage, McapWriter)
        self._storage = storage
        storage.bio = _Pieces(storage.bio.detach())
        # While this process lives the file is locked, so that nobody recovers a running recording.
        fcntl.flock(storage.bio, fcntl.LOCK_EX)
        # the file gets its final name now, since only the folder is renamed later
        storage.path = storage.path.rename(partial / f'{self.path.stem}.mcap')
        draft = {INFORMATION: {'custom_data': {**metadata, 'complete': 'false'}}}
        (partial / 'metadata.yaml').write_text(yaml.safe_dump(draft), encoding='utf-8')

    @property
    def n_bytes(self) -> int:
        """Size of the file by now [bytes]."""
        return self._storage.bio.tell()

    def set_metadata(self, key: str, value: str) -> None:
        """Set custom data that is known only later, such as ``success``."""
        self._writer.set_custom_data(key, value)

    def write(self, topic: str, msg_type: str, message: Any, stamp_ns: int) -> None:
        """Write one message.

        Args:
            topic: Topic name with its leading slash.
            msg_type: Type as ``package/msg/Name``.
            message: Serialized CDR bytes, or a message object of ``typestore()``.
            stamp_ns: Time of the message [ns, ROS clock].

        Raises:
            ValueError: The topic was written with another type before.
        """
        connection = self._connections.get(topic)
        if connection is None:
            text, digest = definition(msg_type)
            connection = self._writer.add_connection(
                topic,
                msg_type,
                msgdef=text,
                rihs01=digest,
                offered_qos_profiles=[_bag_qos(offered_qos(topic))],  # ``ros2 bag play`` uses it
            )
            self._connections[topic] = connection
        if connection.msgtype != msg_type:
            msg = f'{topic} is a topic of {connection.msgtype}, got a {msg_type}'
            raise ValueError(msg)
        if not isinstance(message, bytes | memoryview):
            message = typestore().serialize_cdr(message, msg_type)
        self._writer.write(connection, stamp_ns, message)

    def write_image(self, topic: str, image: NDArray[np.uint8], stamp_ns: int) -> None:
        """Write a (height, width, 3) uint8 RGB image."""
        height, width, _ = image.shape
        pixels = np.ascontiguousarray(image).reshape(-1)
        header = message_header(stamp_ns, camera_frame(topic))
        image_type = typestore().types[IMAGE]
        message = image_type(header, height, width, 'rgb8', 0, 3 * width, pixels)
        self.write(topic, IMAGE, message, stamp_ns)

    def write_joints(
        self,
        topic: str,
        names: Sequence[str],
        positions: Sequence[float] | NDArray[np.floating[Any]],
        stamp_ns: int,
        velocities: Sequence[float] | NDArray[np.floating[Any]] = (),
        efforts: Sequence[float] | NDArray[np.floating[Any]] = (),
    ) -> None:
        """Write a JointState in the units of the topic; empty where nothing is known."""
        rows = (np.asarray(row, dtype=np.float64) for row in (positions, velocities, efforts))
        joint_state = typestore().types[JOINT_STATE]
        message = joint_state(message_header(stamp_ns), list(names), *rows)
        self.write(topic, JOINT_STATE, message, stamp_ns)

    def write_text(self, topic: str, text: str, stamp_ns: int) -> None:
        """Write a String."""
        self.write(topic, STRING, typestore().types[STRING](text), stamp_ns)

    def write_flag(self, topic: str, flag: bool, stamp_ns: int) -> None:
        """Write a Bool."""
        self.write(topic, BOOL, typestore().types[BOOL](bool(flag)), stamp_ns)

    def flush(self) -> None:
        """Bring everything written so far into the file, where even a killed process leaves it.

        A thread brings it on to the disk, so that ``close`` need not wait for all of a long bag.

        Raises:
            OSError: The file, or the disk since the last flush, did not take it.
        """
        if self._storage.chunk.msgs:
            self._storage.close_chunk()
        self._storage.bio.flush()
        if self._synced is not None:
            if not self._synced.done():
                return  # a slow disk: it gets the rest next time
            self._synced.result()
        self._synced = self._disk.submit(sync_open, self._storage.bio.fileno())

    def close(self) -> None:
        """Finish the bag, wait until the disk has it, and give the folder its name.

        Raises:
            OSError: The file or the disk did not take it; the folder keeps its name for
                unfinished ones.
        """
        # the second descriptor keeps the lock until the folder has its name
        with os.fdopen(os.dup(self._storage.bio.fileno()), 'rb'):
            self._disk.shutdown()
            self._writer.close()
            if self._synced is not None:
                self._synced.result()
            sync(self._partial)
            rename(self._partial, self.path)

    def discard(self) -> None:
        """Stop writing and remove the folder."""
        self._stop()
        shutil.rmtree(self._partial, ignore_errors=True)

    def _stop(self) -> None:
        self._disk.shutdown()
        with contextlib.suppress(OSError):  # of a full disk, which does not take the rest
            self._writer.abort()

    def __enter__(self) -> BagWriter:
        """Return the open writer."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Finish the bag, or remove it when the block failed.

        Raises:
            ConfigError: The disk is full or cannot be written.
        """
        with kept_whole(self.path, self._partial):
            try:
                if error is not None:
                    raise error
                self.close()
            except BaseException:
                self._stop()
                raise


class _Pieces(io.BufferedWriter):
    """A file that is written in pieces.

    A megabyte in one call keeps the kernel busy for a millisecond, in which nobody else gets that
    core: not even a control loop under real-time scheduling.
    """

    def write(self, data: Any) -> int:
        """Write all of the data."""
        view = memoryview(data)
        for first in range(0, len(view), PIECE):
            super().write(view[first : first + PIECE])
        return len(view)


def _bag_qos(qos: Qos) -> BagQos:
    """Return a quality of service as bags have it."""
    return BagQos(
        QosHistory.KEEP_LAST,
        qos.depth,
        QosReliability[qos.reliability.upper()],
        QosDurability[qos.durability.upper()],
        deadline=FOREVER,
        lifespan=FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=FOREVER,
        avoid_ros_namespace_conventions=False,
    )


def camera_frame(topic: str) -> str:
    """Return the frame id of an image topic: its first part and ``_optical_frame``."""
    return topic.strip('/').split('/')[0] + '_optical_frame'


def message_header(stamp_ns: int, frame_id: str = '') -> Any:
    """Return a header of ``typestore()``."""
    types = typestore().types
    sec, nanosec = divmod(stamp_ns, 10**9)
    return types['std_msgs/msg/Header'](
        types['builtin_interfaces/msg/Time'](sec, nanosec), frame_id
    )


def decode_cdr(data: bytes, msg_type: str) -> Any:
    """Return a serialized message of a type of ``typestore()``.

    Up to 8 bytes behind it are passed over, which some middlewares and serializers leave there,
    cleared or not.

    Raises:
        SerdeError: It is damaged.
    """
    view = memoryview(data)  # a slice of which is no copy of an image
    for end in (len(data), len(data) - 4):
        with contextlib.suppress(SerdeError):
            return typestore().deserialize_cdr(view[:end], msg_type)
    return typestore().deserialize_cdr(view[: len(data) - 8], msg_type)


def read_stamp(data: bytes) -> int:
    """Return the stamp of a serialized message that begins with a header [ns]."""
    sec, nanosec = struct.unpack_from('<iI' if data[1] & 1 else '>iI', data, 4)
    return sec * 10**9 + nanosec
