# SPDX-License-Identifier: Apache-2.0
"""An episode of a LeRobot v3 data set, ours or another's, as an ``Episode``.

Joints are ``observation.state``, where there are any ``observation.velocity`` and
``observation.effort``, images the videos ``observation.images.<camera>``. What only
our writer adds (``lerobot/writer.py``) is not needed: without ``expert`` every row is one to
imitate, without ``image_index`` every row has a frame of its own, without ``success`` per episode
LeRobot's ``next.success`` per row counts, and source and task may be given by a person.

Source: huggingface/lerobot ``src/lerobot/datasets/dataset_reader.py``.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from cosmos_policy_ros.data.assemble import assemble, distinct, find_cameras, Labels, Rows
from cosmos_policy_ros.data.lerobot.meta import (
    ACTION,
    CAMERAS,
    INDEX,
    INFO,
    Meta,
    MOTION,
    read_meta,
    STATE,
)
from cosmos_policy_ros.data.velocity_effort import check_rows
from cosmos_policy_ros.data.video import count_frames, pick_frames, VideoError
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError, Episode
import numpy as np
from numpy.typing import NDArray
import pyarrow as pa
import pyarrow.parquet as pq

SUCCESS = 'next.success'  # per row, from LeRobot's own evaluation
_DAMAGE = (OSError, LookupError, ValueError, TypeError, VideoError, pa.ArrowException)


def read_lerobot(
    root: Path, number: int, robot: RobotSpec, given: Labels | None = None
) -> Episode:
    """Read one episode.

    Args:
        root: Folder of the data set.
        number: Index of the episode.
        robot: Robot of the rows; its cameras are read, ``high`` from ``high`` or ``cam_high``.
        given: What to take for labels that the data set lacks.

    Raises:
        ConfigError: The data set or the episode is damaged, lacks a feature, a camera or a label,
            its tables and videos disagree in length, or it holds NaN.
    """
    meta = _meta(root, (root / INFO).stat().st_mtime_ns)
    try:
        return _episode(root, meta, meta.episodes[number], robot, given or Labels())
    except _DAMAGE as error:
        msg = f'episode {number} of {root}: {error}'
        raise ConfigError(msg) from error


def check_lengths(root: Path) -> None:
    """Check that every table and every video has as many rows as its episodes.

    Raises:
        ConfigError: One has more or fewer; the message names it.
    """
    meta = read_meta(root)
    wanted: dict[Path, int] = {}
    for entry in meta.episodes:
        places = [k.removesuffix('/chunk_index') for k in entry if k.endswith('/chunk_index')]
        for place in (p for p in places if not p.startswith('meta/')):
            path = _file(root, meta, entry, place)
            wanted[path] = wanted.get(path, 0) + entry['length']
    for path, n in wanted.items():
        is_table = path.suffix == '.parquet'
        found = pq.read_metadata(path).num_rows if is_table else count_frames(path)
        if found != n:
            msg = f'{path} has {found} {"rows" if is_table else "frames"}, its episodes {n} rows'
            raise ConfigError(msg)


def _file(root: Path, meta: Meta, entry: dict[str, Any], place: str) -> Path:
    """Return the file of an episode: place is ``data`` or ``videos/<feature>``."""
    template = meta.info['data_path' if place == 'data' else 'video_path']
    return root / template.format(
        video_key=place.removeprefix('videos/'),
        chunk_index=entry[f'{place}/chunk_index'],
        file_index=entry[f'{place}/file_index'],
    )


@lru_cache(maxsize=4)
def _meta(root: Path, written_ns: int) -> Meta:
    """Return ``meta/``, read once per version of it."""
    return read_meta(root)


def _episode(
    root: Path, meta: Meta, entry: dict[str, Any], robot: RobotSpec, given: Labels
) -> Episode:
    info, n = meta.info, int(entry['length'])
    videos = [k for k, f in info['features'].items() if f['dtype'] == 'video']
    keys = [k.removeprefix(CAMERAS) for k in videos if k.startswith(CAMERAS)]
    cameras = find_cameras(robot, keys, f'{root}: {CAMERAS}<camera> videos')
    index = (INDEX + key for key in cameras.values())
    optional = ('expert', SUCCESS, *MOTION.values(), *index)
    columns = [STATE, ACTION, *(name for name in optional if name in info['features'])]
    rows = _rows(root, meta, entry, columns)
    images, image_index = {}, {}
    for name, key in cameras.items():
        place = f'videos/{CAMERAS}{key}'
        picks, image_index[name] = distinct(rows.get(INDEX + key, np.arange(n)))
        start_s = float(entry[f'{place}/from_timestamp'])
        images[name] = pick_frames(_file(root, meta, entry, place), picks, n, start_s, info['fps'])
    if len(entry['tasks']) > 1:
        msg = f'it has the tasks {entry["tasks"]}, one is expected'
        raise ValueError(msg)
    success = entry.get('success', bool(rows[SUCCESS].any()) if SUCCESS in rows else None)
    stored = Labels(
        task=entry['tasks'][0] if entry['tasks'] else None,
        source=entry.get('source'),
        success=success,
        rate_hz=float(info['fps']),
        start_ns=entry.get('start_ns'),
        robot=None if info.get('robot_type') == 'unknown' else info.get('robot_type'),
    )
    where = f'episode {entry["episode_index"]} of {root}'
    motion = {
        stream: check_rows(rows.get(name), rows[STATE].shape, f'{where}: {name}')
        for stream, name in MOTION.items()
    }
    found = Rows(rows[STATE], rows[ACTION], rows.get('expert'), images, image_index, **motion)
    return assemble(found, stored.completed(given), robot)


def _rows(
    root: Path, meta: Meta, entry: dict[str, Any], columns: list[str]
) -> dict[str, NDArray[Any]]:
    """Return column -> (S,) or (S, k) array of one episode."""
    missing = [name for name in columns if name not in meta.info['features']]
    if missing:
        msg = f'no feature {", ".join(missing)}; it has {sorted(meta.info["features"])}'
        raise ValueError(msg)
    path = _file(root, meta, entry, 'data')
    mine = [('episode_index', '=', entry['episode_index'])]
    table = pq.read_table(path, columns=columns, filters=mine, partitioning=None)
    if table.num_rows != entry['length']:
        msg = f'{path} has {table.num_rows} rows of it, meta/episodes says {entry["length"]}'
        raise ValueError(msg)
    types = {n: meta.info['features'][n]['dtype'] for n in columns}
    return {n: np.array(table[n].to_pylist(), dtype=types[n]) for n in columns}
