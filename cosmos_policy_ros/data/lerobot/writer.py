# SPDX-License-Identifier: Apache-2.0
"""Episodes as a LeRobot data set, format v3.0: Parquet tables and MP4 files.

Many episodes share a file; ``meta/episodes`` has the rows and the seconds of each.
Features: ``observation.state``, ``action``, ``observation.images.<camera>`` and LeRobot's own five
columns; ``observation.velocity`` and ``observation.effort`` where every episode holds them, since
all rows have the same columns. Ours, which other readers skip: ``expert``, ``human_intervention``
and ``image_index.<camera>`` (images are repeated where ticks outrun the camera) per row;
``source``, ``success`` (null when nobody judged), ``start_ns`` and those of ``Circumstances`` per
episode. ``robot_type`` is
the name in the robot file.

Source: huggingface/lerobot ``src/lerobot/datasets`` (``dataset_writer.py``,
``dataset_metadata.py``), lerobot 0.4 to 0.6.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
import logging
from pathlib import Path
import shutil
from typing import Any

from cosmos_policy_ros.data.assemble import camera_key
from cosmos_policy_ros.data.image_rows import shown
from cosmos_policy_ros.data.lerobot.meta import (
    ACTION,
    CAMERAS,
    DATA_MB,
    DATA_PATH,
    describe,
    features,
    FILES_PER_CHUNK,
    HUMAN_INTERVENTION,
    INDEX,
    MOTION,
    STATE,
    VIDEO_MB,
    VIDEO_PATH,
    write_meta,
)
from cosmos_policy_ros.data.lerobot.statistics import histogram, image_stats, row_stats
from cosmos_policy_ros.data.video import VideoWriter
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError, Episode, Images
import numpy as np
from numpy.typing import NDArray
import pyarrow as pa
import pyarrow.parquet as pq

logger = logging.getLogger(__name__)


class LeRobotWriter:
    """Write a data set; a context manager that leaves a whole one or none."""

    def __init__(self, root: Path, robot: RobotSpec, rate_hz: float) -> None:
        """Create the folder.

        Args:
            root: Folder of the data set, which must not exist.
            robot: Robot of the episodes.
            rate_hz: Rows per second [Hz], a whole number.

        Raises:
            FileExistsError: The folder exists.
            ConfigError: The rate is not whole.
        """
        if rate_hz != round(rate_hz):
            msg = f'LeRobot data sets have a whole number of rows per second, got {rate_hz} Hz'
            raise ConfigError(msg)
        root.mkdir(parents=True)
        self.root, self._robot, self._fps = root, robot, round(rate_hz)
        self._sizes: dict[str, tuple[int, int]] = {}
        self._motion: set[str] = set()  # features of MOTION that every episode so far holds
        self._uneven: set[str] = set()  # those that only some hold
        self._tasks: list[str] = []
        self._entries: list[dict[str, Any]] = []
        self._rows: dict[str, list[NDArray[Any]]] = {}  # feature -> rows of every episode
        self._pixels: dict[str, NDArray[np.int64]] = {}  # feature -> histogram
        self._table: pq.ParquetWriter | None = None
        self._videos: dict[str, VideoWriter] = {}
        self._file: dict[str, int] = {}  # 'data' or 'videos/<key>' -> number of its open file

    def add(self, episode: Episode) -> None:
        """Append an episode.

        Raises:
            ConfigError: It has another rate, or cameras of other names or sizes, than the first.
        """
        sizes = {name: (i.shape[1], i.shape[2]) for name, i in episode.images.items()}
        self._sizes = self._sizes or sizes
        if sizes != self._sizes or episode.rate_hz != self._fps:
            msg = (
                f'episode {len(self._entries)} has {episode.rate_hz} Hz and images of {sizes}, '
                f'the data set {self._fps} Hz and {self._sizes}'
            )
            raise ConfigError(msg)
        n, first = len(episode.stamps_ns), sum(e['length'] for e in self._entries)
        entry = {'episode_index': len(self._entries), 'tasks': [episode.task], 'length': n}
        entry |= {'dataset_from_index': first, 'dataset_to_index': first + n}
        self._keep_common(episode)
        columns = self._columns(episode, entry)
        entry |= self._add_rows(columns)
        stats = {name: row_stats(rows) for name, rows in columns.items()}
        for name, images in episode.images.items():
            key = CAMERAS + camera_key(name)
            pixels = histogram(images)
            self._pixels[key] = self._pixels[key] + pixels if key in self._pixels else pixels
            stats[key] = image_stats(pixels)
            entry |= self._add_video(key, images, episode.image_index[name])
        entry |= {f'stats/{f}/{k}': v for f, found in stats.items() for k, v in found.items()}
        entry |= {'meta/episodes/chunk_index': 0, 'meta/episodes/file_index': 0}
        entry |= {'source': episode.source, 'success': episode.success}
        entry |= asdict(episode.circumstances)
        self._entries.append(entry | {'start_ns': int(episode.stamps_ns[0])})
        for name, rows in columns.items():
            self._rows.setdefault(name, []).append(rows)

    def close(self) -> None:
        """Finish the files and write ``meta/``."""
        self._close_files()
        if not self._entries:
            msg = f'{self.root}: no episode to write'
            raise ConfigError(msg)
        motion = [name for name in MOTION.values() if name in self._motion]
        found = features(self._robot, self._sizes, self._fps, motion)
        stats = {name: row_stats(np.concatenate(rows)) for name, rows in self._rows.items()}
        stats |= {key: image_stats(pixels) for key, pixels in self._pixels.items()}
        info = describe(self._robot.name, self._entries, len(self._tasks), self._fps, found)
        write_meta(self.root, info, self._entries, self._tasks, stats)

    def _keep_common(self, episode: Episode) -> None:
        """Drop velocities or efforts, here and from the files, once an episode lacks them."""
        there = {key for stream, key in MOTION.items() if getattr(episode, stream) is not None}
        if not self._entries:
            self._motion = there
        uneven = (self._motion ^ there) - self._uneven
        if uneven:
            names = ' and '.join(sorted(uneven))
            logger.warning('%s: only some episodes hold %s, left out', self.root, names)
            self._uneven |= uneven
        lost = self._motion - there
        if not lost:
            return
        self._motion &= there
        if self._table is not None:
            self._table.close()
            self._table = None
            self._file['data'] = self._file.get('data', 0) + 1  # what comes has other columns
        _drop_columns(self.root, lost)
        stats = tuple(f'stats/{name}/' for name in lost)
        self._entries = [
            {k: v for k, v in entry.items() if not k.startswith(stats)} for entry in self._entries
        ]
        self._rows = {name: rows for name, rows in self._rows.items() if name not in lost}

    def _columns(self, episode: Episode, entry: dict[str, Any]) -> dict[str, NDArray[Any]]:
        """Return feature -> (S,) or (S, k) array."""
        if episode.task not in self._tasks:
            self._tasks.append(episode.task)
        ticks = np.arange(entry['length'])
        columns: dict[str, NDArray[Any]] = {
            STATE: episode.proprio,
            **{k: getattr(episode, s) for s, k in MOTION.items() if k in self._motion},
            ACTION: episode.actions,
            'timestamp': (ticks / self._fps).astype(np.float32),
            'frame_index': ticks,
            'episode_index': np.full_like(ticks, entry['episode_index']),
            'index': ticks + entry['dataset_from_index'],
            'task_index': np.full_like(ticks, self._tasks.index(episode.task)),
            'expert': episode.expert,
            HUMAN_INTERVENTION: episode.human_intervention,
        }
        return columns | {INDEX + camera_key(c): i for c, i in episode.image_index.items()}

    def _add_rows(self, columns: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Append a row group and return where it lies."""
        arrays = {
            name: pa.array(rows)
            if rows.ndim == 1
            else pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
            for name, rows in columns.items()
        }
        table = pa.table(arrays)
        if self._table is not None and self._rolls_over(
            'data', self._path('data').stat().st_size, DATA_MB
        ):
            self._table.close()
            self._table = None
        if self._table is None:
            self._path('data').parent.mkdir(parents=True, exist_ok=True)
            self._table = pq.ParquetWriter(self._path('data'), table.schema)
        self._table.write_table(table)
        return self._place('data')

    def _add_video(self, key: str, images: Images, index: NDArray[np.int64]) -> dict[str, Any]:
        """Append a frame per row and return where they lie."""
        place, video = f'videos/{key}', self._videos.get(key)
        if video is not None and self._rolls_over(place, video.n_bytes, VIDEO_MB):
            video.close()
            video = None
        if video is None:
            video = VideoWriter(self._path(place), self._fps, *images.shape[1:3])
            self._videos[key] = video
        start = video.n_frames
        for image in shown(images, index):
            video.write(image)
        seconds = {'from_timestamp': start / self._fps, 'to_timestamp': video.n_frames / self._fps}
        return self._place(place) | {f'{place}/{k}': v for k, v in seconds.items()}

    def _rolls_over(self, place: str, n_bytes: int, full_mb: int) -> bool:
        """Return whether the open file has reached its size, and count on if so."""
        full = n_bytes >= full_mb * 2**20
        self._file[place] = self._file.get(place, 0) + full
        return full

    def _place(self, place: str) -> dict[str, Any]:
        chunk, file = divmod(self._file.get(place, 0), FILES_PER_CHUNK)
        return {f'{place}/chunk_index': chunk, f'{place}/file_index': file}

    def _path(self, place: str) -> Path:
        chunk, file = divmod(self._file.get(place, 0), FILES_PER_CHUNK)
        template = DATA_PATH if place == 'data' else VIDEO_PATH
        key = place.removeprefix('videos/')
        return self.root / template.format(video_key=key, chunk_index=chunk, file_index=file)

    def _close_files(self) -> None:
        if self._table is not None:
            self._table.close()
        for video in self._videos.values():
            video.close()

    def __enter__(self) -> LeRobotWriter:
        """Return the open writer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the data set, or remove it when the block failed."""
        if kind is None:
            self.close()
        else:
            self._close_files()
            shutil.rmtree(self.root, ignore_errors=True)


def _drop_columns(root: Path, names: Collection[str]) -> None:
    """Take columns out of the finished tables of a data set; row groups stay."""
    for path in root.glob('data/*/*.parquet'):
        with pq.ParquetFile(path) as file:
            groups = [file.read_row_group(i) for i in range(file.num_row_groups)]
        groups = [group.drop_columns(list(names)) for group in groups]
        with pq.ParquetWriter(path, groups[0].schema) as table:
            for group in groups:
                table.write_table(group)
