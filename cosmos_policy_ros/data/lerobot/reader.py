# SPDX-License-Identifier: Apache-2.0
"""An episode of a LeRobot data set, v3 or v2, ours or another's, as an ``Episode``.

Joints are ``observation.state`` in the order that the names of its columns say, and where there
are any ``observation.velocity`` and ``observation.effort``; images are the videos or columns
``observation.images.<camera>``. What only our writer adds (``lerobot/writer.py``) is not needed:
without ``expert`` every row is one to imitate, without ``human_intervention`` nobody intervened,
without ``image_index`` every row has an image of its own, without ``success`` of an episode
LeRobot's ``next.success`` per row counts, and source and task may be given by a person. Order and
units of the joints of a set that rosetta made are those of the contract beside it.

Source: huggingface/lerobot ``src/lerobot/datasets/dataset_reader.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from cosmos_policy_ros.data.assemble import (
    assemble,
    BASE,
    distinct,
    find_cameras,
    Labels,
    next_as_actions,
    read_circumstances,
    read_flag,
    read_source,
    refuse_no_rows,
    Rows,
)
from cosmos_policy_ros.data.image_rows import ImageRows, swap_colours, watch_frozen
from cosmos_policy_ros.data.lerobot.columns import find_columns, order_of, plain_names
from cosmos_policy_ros.data.lerobot.meta import (
    ACTION,
    CAMERAS,
    data_file,
    describe_damage,
    HUMAN_INTERVENTION,
    INDEX,
    INFO,
    Meta,
    MOTION,
    read_meta,
    STATE,
)
from cosmos_policy_ros.data.oddities import note_oddities
from cosmos_policy_ros.data.reading import complete, note, note_units, Reading, wants_next_rows
from cosmos_policy_ros.data.rosetta.contract import camera_name, judge_outcome
from cosmos_policy_ros.data.rosetta.data_set import contract_beside, rows_of_robot
from cosmos_policy_ros.data.velocity_effort import check_rows
from cosmos_policy_ros.data.video import count_frames, pick_frames, video_rate, VideoError
from cosmos_policy_ros.image_decoder import decode_file
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError, Episode, Images
import numpy as np
from numpy.typing import NDArray
import pyarrow as pa
import pyarrow.parquet as pq

TIME, FRAME = 'timestamp', 'frame_index'
SUCCESS = 'next.success'  # per row, from LeRobot's own evaluation
REWARD = 'next.reward'  # per row, of rosetta
OWN = ('index', 'episode_index', FRAME, 'task_index', 'next.done', REWARD)  # of LeRobot
_DAMAGE = (
    OSError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError,
    VideoError, pa.ArrowException,
)  # fmt: skip


def read_lerobot(
    root: Path, number: int, robot: RobotSpec, reading: Reading | None = None
) -> Episode:
    """Read one episode.

    Args:
        root: Folder of the data set.
        number: Index of the episode.
        robot: Robot of the rows; its cameras are read, ``high`` from ``high`` or ``cam_high``.
        reading: What the data set leaves open.

    Raises:
        ConfigError: The data set or the episode is damaged, lacks a feature, a camera or a label,
            its tables and videos disagree in length, or it holds NaN.
    """
    meta = _meta(root, (root / INFO).stat().st_mtime_ns)
    try:
        return _episode(root, meta, meta.episodes[number], robot, reading or Reading())
    except _DAMAGE as error:
        named = str(error).startswith('episode ')
        msg = str(error) if named else f'episode {number} of {root}: {describe_damage(error)}'
        raise ConfigError(msg) from error


def lerobot_labels(root: Path, number: int) -> tuple[Labels, int]:
    """Return the labels of an episode and its number of rows, which is quick.

    Raises:
        ConfigError: ``meta/`` is damaged.
    """
    meta = _meta(root, (root / INFO).stat().st_mtime_ns)
    try:
        entry = meta.episodes[number]
        return _labels(meta.info, entry, f'episode {number} of {root}'), int(entry['length'])
    except _DAMAGE as error:
        msg = f'episode {number} of {root}: {describe_damage(error)}'
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
            path = data_file(root, meta.info, entry, place)
            wanted[path] = wanted.get(path, 0) + entry['length']
    for path, n in wanted.items():
        is_table = path.suffix == '.parquet'
        found = pq.read_metadata(path).num_rows if is_table else count_frames(path)
        if found != n:
            msg = f'{path} has {found} {"rows" if is_table else "frames"}, its episodes {n} rows'
            raise ConfigError(msg)


def check_files(root: Path, number: int) -> None:
    """Open the files of an episode, which is quick.

    Raises:
        ConfigError: One is missing or torn; names it.
    """
    meta = _meta(root, (root / INFO).stat().st_mtime_ns)
    entry = meta.episodes[number]
    for path in (data_file(root, meta.info, entry, place) for place in _places(meta, entry)):
        if reason := _find_damage(path):
            msg = f'episode {number} of {root}: {path}: {reason}'
            raise ConfigError(msg)


@lru_cache(maxsize=4096)
def _find_damage(path: Path) -> str:
    """Return why a table or video cannot be opened, empty when it can; each is opened once."""
    try:
        if path.suffix == '.parquet':
            pq.read_metadata(path)
        else:
            video_rate(path)
    except _DAMAGE as error:
        return str(error)
    return ''


def _places(meta: Meta, entry: dict[str, Any]) -> list[str]:
    """Return ``data`` and ``videos/<feature>`` of every video."""
    return ['data', *(k.removesuffix('/from_timestamp') for k in entry if 'from_timestamp' in k)]


@lru_cache(maxsize=4)
def _meta(root: Path, written_ns: int) -> Meta:
    """Return ``meta/``, read once per version of it."""
    return read_meta(root)


def _episode(
    root: Path, meta: Meta, entry: dict[str, Any], robot: RobotSpec, reading: Reading
) -> Episode:
    info, n = meta.info, int(entry['length'])
    where = f'episode {entry["episode_index"]} of {root}'
    features = info['features']
    shown = {
        key.removeprefix(CAMERAS): feature['dtype']
        for key, feature in features.items()
        if key.startswith(CAMERAS) and feature['dtype'] in ('video', 'image')
    }
    plain = {camera_name(key): key for key in shown}
    place = f'{root}: {CAMERAS}<camera> videos'
    found_cameras = find_cameras(robot, plain, place, reading.topics)
    cameras = {name: plain[key] for name, key in found_cameras.items()}
    for key in cameras.values():
        about = features[CAMERAS + key].get('info') or {}
        if about.get('video.is_depth_map') or about.get('is_depth_map'):
            msg = f'{CAMERAS}{key} is depth, a colour image is expected'
            raise ValueError(msg)
    contract = reading.contract or contract_beside(root)
    index = (INDEX + key for key in cameras.values())
    optional = ('expert', HUMAN_INTERVENTION, SUCCESS, TIME, FRAME, *MOTION.values(), *index)
    next_rows = wants_next_rows(reading)
    if ACTION not in features and not next_rows:
        msg = f'no feature {ACTION}; actions without commands: --actions state-next'
        raise ValueError(msg)
    taken = [STATE] if next_rows else [STATE, ACTION]
    columns = [*taken, *(name for name in optional if name in features)]
    columns += [REWARD] if contract is not None and REWARD in features else []
    known = {*columns, ACTION, *OWN}
    left = [n for n in features if n not in known and not n.startswith((CAMERAS, INDEX))]
    if left:
        note(str(root), f'left out, since episodes do not hold it: {", ".join(left)}')
    refuse_no_rows(n)
    rows = _rows(root, meta, entry, columns)
    _check_times(rows.get(TIME), float(info['fps']))
    if TIME not in rows:  # else these say the order, and others may leave the numbers as they were
        _check_order(rows.get(FRAME), float(info['fps']))
    images: dict[str, Images] = {}
    image_index = {}
    for name, key in cameras.items():
        picks, image_index[name] = distinct(rows.get(INDEX + key, np.arange(n)))
        feature = CAMERAS + key
        if shown[key] == 'image':
            found = _stored_images(root, meta, entry, feature, picks)
        else:
            place = f'videos/{feature}'
            start_s = float(entry[f'{place}/from_timestamp'])
            video = data_file(root, info, entry, place)
            _check_alone(root, entry, place)
            found = pick_frames(video, picks, n, start_s, info['fps'])
        if reading.images == 'bgr':
            found = swap_colours(found)
        images[name] = watch_frozen(found, rows[STATE], float(info['fps']), f'{where}: {key}')
    if reading.images is not None:
        order = {'rgb': 'red, green, blue', 'bgr': 'blue, green, red'}[reading.images]
        note(str(root), f'colours are taken as {order}, as --images says')
    if len(tasks := entry.get('tasks') or ()) > 1:
        msg = f'it has the tasks {tasks}, one is expected'
        raise ValueError(msg)
    stored = _labels(info, entry, where)
    if SUCCESS in rows and stored.success is None:
        stored = replace(stored, success=bool(rows[SUCCESS].any()))
    joints: dict[str, NDArray[Any]]
    if contract is not None:
        joints = {key: rows_of_robot(rows[key], key, contract, robot) for key in taken}
        if stored.success is None and REWARD in rows:
            last = rows[REWARD].reshape(-1)[-1].item()
            stored = replace(stored, success=judge_outcome(REWARD, last))
    else:
        joints = {
            name: _in_order(rows[name], features[name], robot, reading, f'{root}: {name}')
            for name in (*taken, *MOTION.values())
            if name in rows
        }
        wide = [name for name in joints if joints[name].shape[1:] == (robot.size,)]
        _check_named([features[name] for name in wide], wide, robot)
    motion = {
        stream: check_rows(joints.get(name), joints[STATE].shape, f'{where}: {name}')
        for stream, name in MOTION.items()
    }
    kept = Rows(
        joints[STATE],
        joints[taken[-1]],
        rows.get('expert'),
        images,
        image_index,
        **motion,
        human_intervention=rows.get(HUMAN_INTERVENTION),
    )
    units = reading.units
    if contract is None:
        note_units(str(root), reading)
    elif units is not None:
        note(str(root), f'--units {units} is not taken: its contract says them')
        units = None
    labels = complete(stored, reading, str(root))
    episode = assemble(kept, labels, robot, reading.other_robot, units)
    if next_rows:
        episode = next_as_actions(episode)
    note_oddities(episode, robot, str(root))
    return episode


def _labels(info: dict[str, Any], entry: dict[str, Any], where: str) -> Labels:
    """Return what ``meta/`` says about an episode."""
    robot, success = info.get('robot_type'), entry.get('success')
    known = success is not None and success == success  # a column of others may hold NaN
    return Labels(
        task=next((task for task in entry.get('tasks') or () if task.strip()), None),
        source=read_source(entry.get('source')),
        success=read_flag(success, 'success') if known else None,
        rate_hz=float(info['fps']),
        start_ns=entry.get('start_ns'),
        robot=None if robot == 'unknown' else robot,
        circumstances=read_circumstances(entry, where),
    )


def _in_order(
    rows: NDArray[Any], feature: dict[str, Any], robot: RobotSpec, reading: Reading, where: str
) -> NDArray[Any]:
    """Return (S, A) rows in the joint order of the robot, found by the names of the columns."""
    names = plain_names(feature.get('names'), robot)
    if rows.ndim == 2 and rows.shape[1] == robot.size + BASE and 'base' in reading.drop:
        note(where, f'the last {BASE} columns, of a base, are left out')
        rows, names = rows[:, : robot.size], names[: robot.size]
    if rows.ndim != 2 or rows.shape[1] != robot.size:
        return rows  # refused by assemble
    columns = find_columns(names, robot, robot.size, where)
    return rows if columns is None else rows[:, columns]


def _check_named(
    features: Sequence[dict[str, Any]], keys: Sequence[str], robot: RobotSpec
) -> None:
    """Refuse columns without names of joints beside those whose names say another order.

    Raises:
        ValueError: There are both; names them.
    """
    orders = [order_of(plain_names(feature.get('names'), robot), robot) for feature in features]
    for key, order in zip(keys, orders, strict=True):
        if order is not None and order != sorted(order) and None in orders:
            bare = keys[orders.index(None)]
            msg = f'{bare} does not name its joints, and those of {key} are in another order than '
            msg += f'{list(robot.joint_names)}: nobody can tell which is which; give {bare} its '
            msg += f'names in {INFO}'
            raise ValueError(msg)


def _check_times(times_s: NDArray[Any] | None, fps: float) -> None:
    """Refuse rows that are not at the rate: their images are found by it.

    Raises:
        ValueError: Times drift by half a row or more; names the first.
    """
    if times_s is None or not len(times_s):
        return
    ticks = np.arange(len(times_s)) / fps
    drift_s = np.asarray(times_s, np.float64).reshape(-1) - float(times_s[0]) - ticks
    late = np.flatnonzero(np.abs(drift_s) > 0.5 / fps)
    if len(late):
        row = int(late[0])
        msg = f'row {row} is at {row / fps + drift_s[row]:.3f} s, at {fps:g} rows per second it '
        msg += f'would be at {row / fps:.3f} s; its timestamps drift by up to '
        msg += f'{np.abs(drift_s).max():.3f} s'
        raise ValueError(msg)


def _check_order(numbers: NDArray[Any] | None, fps: float) -> None:
    """Refuse rows that are not in their order, as the images of a video are.

    Raises:
        ValueError: One has another number than that behind the one before; names the first.
    """
    if numbers is None:
        return
    numbers = numbers.reshape(-1)
    wanted = numbers[0] + np.arange(len(numbers))
    other = np.flatnonzero(numbers != wanted)
    if len(other):
        row = int(other[0])
        msg = f'row {row}, {row / fps:.2f} s, has {FRAME} {numbers[row]}, '
        msg += f'{wanted[row]} is expected: rows in the order of their numbers'
        raise ValueError(msg)


def _check_alone(root: Path, entry: dict[str, Any], place: str) -> None:
    """Refuse an episode that would show images of another one of the same video.

    Args:
        root: Folder of the data set.
        entry: The episode.
        place: ``videos/<feature>``.

    Raises:
        ValueError: It would; names both and the times.
    """
    shared = _shared_images(root, (root / INFO).stat().st_mtime_ns, place)
    if entry['episode_index'] in shared:
        other, from_s, to_s = shared[entry['episode_index']]
        msg = (
            f'{place}: the images from {from_s:.3f} to {to_s:.3f} s of the file would be its own '
        )
        msg += f'and those of episode {other}; see from_timestamp in meta/episodes'
        raise ValueError(msg)


@lru_cache(maxsize=16)
def _shared_images(root: Path, written_ns: int, place: str) -> dict[int, tuple[int, float, float]]:
    """Return episode -> another one that has some images of the same video, from and to [s]."""
    meta = _meta(root, written_ns)
    spans = sorted(
        (
            data_file(root, meta.info, entry, place),
            float(entry[f'{place}/from_timestamp']),
            int(entry['length']) / float(meta.info['fps']),
            int(entry['episode_index']),
        )
        for entry in meta.episodes
        if entry.get(f'{place}/from_timestamp') is not None  # one without is refused by itself
    )
    found: dict[int, tuple[int, float, float]] = {}
    for (file, from_s, seconds, number), (later, begin_s, its_s, other) in pairwise(spans):
        end_s = min(from_s + seconds, begin_s + its_s)
        if file == later and end_s - begin_s > 0.5 / meta.info['fps']:
            found |= {number: (other, begin_s, end_s), other: (number, begin_s, end_s)}
    return found


def _stored_images(
    root: Path, meta: Meta, entry: dict[str, Any], feature: str, picks: NDArray[np.int64]
) -> ImageRows:
    """Return images that lie in the tables, as files in a column or beside them."""

    def read(wanted: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
        column = _table(root, meta, entry, [feature])[feature]
        for row in wanted.tolist():
            stored = column[row].as_py()
            try:
                yield decode_file(_image_file(root, stored))
            except (ValueError, OSError) as error:
                msg = f'episode {entry["episode_index"]} of {root}: {feature}: row {row}, '
                msg += f'{row / meta.info["fps"]:.2f} s: {error}'
                raise ConfigError(msg) from error

    size: Any = None  # height and width of the first
    for row, image in zip(picks.tolist(), read(picks), strict=True):
        size = size or image.shape[:2]
        if image.shape[:2] != size:
            msg = f'{feature}: row {row}, {row / meta.info["fps"]:.2f} s, has {image.shape[:2]} '
            msg += f'pixels, row {picks[0]} {size}'
            raise ValueError(msg)
    return ImageRows(size, read, picks)


def _image_file(root: Path, stored: Any) -> bytes:
    """Return the file of an image as a table stores it: as bytes, or with its path.

    Raises:
        ValueError: It is stored otherwise.
    """
    parts = stored if isinstance(stored, dict) else {'bytes': stored}
    data = parts.get('bytes')
    if data and isinstance(data, bytes):
        return data
    if isinstance(path := parts.get('path'), str):
        return (root / path).read_bytes()
    msg = f'the table holds {type(data).__name__} for an image, the bytes of its file or its path '
    msg += 'are expected'
    raise ValueError(msg)


def _rows(
    root: Path, meta: Meta, entry: dict[str, Any], columns: list[str]
) -> dict[str, NDArray[Any]]:
    """Return column -> (S,) or (S, k) array of one episode."""
    missing = [name for name in columns if name not in meta.info['features']]
    if missing:
        msg = f'no feature {", ".join(missing)}; it has {sorted(meta.info["features"])}'
        raise ValueError(msg)
    table = _table(root, meta, entry, columns)
    rate_hz = float(meta.info['fps'])
    return {n: _array(table[n], n, meta.info['features'][n]['dtype'], rate_hz) for n in columns}


def _array(column: pa.ChunkedArray, name: str, dtype: str, rate_hz: float) -> NDArray[Any]:
    """Return a column as an array.

    Raises:
        ValueError: A row has another length than the first; names it.
    """
    rows = column.to_pylist()
    sizes = [len(row) if isinstance(row, list) else None for row in rows]
    for row, size in enumerate(sizes):
        if size != sizes[0]:
            has = 'nothing' if rows[row] is None else f'{size} numbers'
            msg = f'{name}: row {row}, {row / rate_hz:.2f} s, has {has}, row 0 has {sizes[0]}'
            raise ValueError(msg)
    return np.array(rows, dtype=dtype)


def _table(root: Path, meta: Meta, entry: dict[str, Any], columns: list[str]) -> pa.Table:
    """Return some columns of one episode.

    Raises:
        ValueError: The file is missing or torn, or has another number of rows.
    """
    path = data_file(root, meta.info, entry, 'data')
    mine = [('episode_index', '=', entry['episode_index'])]
    try:
        table = pq.read_table(path, columns=columns, filters=mine, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        msg = f'{path}: {error}'
        raise ValueError(msg) from error
    if table.num_rows != entry['length']:
        msg = f'{path} has {table.num_rows} rows of it, meta/episodes says {entry["length"]}'
        raise ValueError(msg)
    return table
