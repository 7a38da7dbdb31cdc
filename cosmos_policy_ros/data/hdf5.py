# SPDX-License-Identifier: Apache-2.0
"""Episodes as ALOHA HDF5 files, with images inside or in MP4 files beside.

Datasets: ``observations/qpos`` (S, P) and ``action`` (S, A), ``observations/images/<camera>``
(S, height, width, 3) uint8 RGB or ``observations/video_paths/<camera>``, the name of an MP4 file.
Where they were measured: ``observations/qvel`` and ``observations/effort`` (S, P).
Written besides, and not needed for reading: ``expert`` (S,), ``human_intervention`` (S,),
``observations/image_index/<camera>`` (S,) images are repeated where ticks outrun the camera, and
the attributes ``source``, ``robot``, ``rate_hz``, ``start_ns`` and those of ``Circumstances``.
``task_description`` and ``success`` are those
of Cosmos Policy's rollouts. Images are compressed losslessly, which readers do not notice.

Source: tonyzhaozh/act ``record_sim_episodes.py``; Interbotix/aloha (``compress``);
NVlabs/cosmos-policy ``preprocess_split_aloha_data.py`` and ``run_aloha_eval.py``.
Differs: ``qvel`` and ``effort`` that nobody measured are left out; Cosmos Policy's rollouts fill
them with zeros.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
import logging
from pathlib import Path
import shutil
from typing import Any

from cosmos_policy_ros.data.assemble import (
    assemble,
    BASE,
    camera_key,
    distinct,
    find_cameras,
    Labels,
    next_as_actions,
    read_circumstances,
    read_flag,
    read_source,
    refuse_no_rows,
    Rows,
    used_rows,
)
from cosmos_policy_ros.data.hdf5_file import create_hdf5, naming, open_hdf5
from cosmos_policy_ros.data.image_rows import ImageRows, shown, swap_colours, watch_frozen
from cosmos_policy_ros.data.oddities import note_oddities
from cosmos_policy_ros.data.reading import complete, note, note_units, Reading, wants_next_rows
from cosmos_policy_ros.data.velocity_effort import check_rows
from cosmos_policy_ros.data.video import pick_frames, video_rate, VideoWriter
from cosmos_policy_ros.image_decoder import decode_file
from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.stream_judge import FROZEN_S
from cosmos_policy_ros.types import Circumstances, ConfigError, Episode, Images
import h5py
import numpy as np
from numpy.typing import NDArray

STATE, ACTION = 'observations/qpos', 'action'
IMAGES, VIDEOS, INDEX = (f'observations/{n}' for n in ('images', 'video_paths', 'image_index'))
MOTION = {'velocity': 'observations/qvel', 'effort': 'observations/effort'}  # of an Episode
logger = logging.getLogger(__name__)
KNOWN = (
    STATE,
    ACTION,
    *MOTION.values(),
    IMAGES,
    VIDEOS,
    INDEX,
    'expert',
    'human_intervention',
    'compress_len',
    'relative_action',
)
ATTRIBUTES = {
    *('sim', 'compress', 'task_description', 'source', 'robot', 'rate_hz', 'start_ns', 'success'),
    *('policy_name', 'fps', *Circumstances.__dataclass_fields__),
}


def read_hdf5(path: Path, robot: RobotSpec, reading: Reading | None = None) -> Episode:
    """Read one episode; its images are read when they are looked at.

    Args:
        path: HDF5 file.
        robot: Robot of the rows; its cameras are read, ``high`` from ``high`` or ``cam_high``.
        reading: What the file leaves open. A rate that is nowhere is that of the videos, and else
            the control rate of the robot, at which ALOHA records.

    Raises:
        ConfigError: The file is damaged, lacks a dataset, a camera or a label, has videos of
            another length, or holds NaN, an image that cannot be decoded or a jump.
    """
    with open_hdf5(path) as file:
        return _episode(file, path, robot, reading or Reading())


def check_hdf5(path: Path, reading: Reading | None = None) -> None:
    """Open a file and look for what every episode has, which is quick.

    Args:
        path: HDF5 file.
        reading: As of ``read_hdf5``.

    Raises:
        ConfigError: It is damaged or lacks a dataset.
    """
    with open_hdf5(path) as file:
        _dataset(file, STATE)
        _commands(file, reading or Reading())


def hdf5_labels(path: Path) -> tuple[Labels, int]:
    """Return the labels of a file and its number of rows, which is quick.

    Raises:
        ConfigError: It is damaged or lacks a dataset.
    """
    with open_hdf5(path) as file:
        return _labels(file), len(_dataset(file, STATE))


def read_actions(path: Path) -> NDArray[Any]:
    """Return the rows of actions of a file, or else of its joints, as they are stored; quick.

    Raises:
        ConfigError: It is damaged or lacks them.
    """
    with open_hdf5(path) as file:
        return np.asarray(_dataset(file, ACTION if ACTION in file else STATE)[()])


def _episode(file: h5py.File, path: Path, robot: RobotSpec, reading: Reading) -> Episode:
    """Return the episode of an open file, all but its pixels."""
    place = IMAGES if IMAGES in file else VIDEOS
    if place not in file:
        msg = f'no {IMAGES} and no {VIDEOS}; it has {sorted(file.get("observations", []))}'
        raise ValueError(msg)
    commands = _commands(file, reading)
    joints = {
        name: _without_base(_dataset(file, name)[()], robot, reading, str(path.parent))
        for name in (STATE, commands, *MOTION.values())
        if name not in MOTION.values() or name in file
    }
    proprio, actions = joints[STATE], joints[commands]
    n_stored = n = len(proprio)
    if 'padding' in reading.drop and proprio.ndim == actions.ndim == 2 and len(actions) == n:
        n = used_rows(proprio, actions)
    if n < n_stored:
        note(str(path), f'{n_stored - n} rows of zeros at the end are left out')
    refuse_no_rows(n)
    keys = find_cameras(robot, file[place], f'{path}: {place}', reading.topics)
    files = {k: _video(path, file[place][k]) for k in keys.values() if place == VIDEOS}
    stored = _labels(file)
    if files:
        stored = stored.completed(Labels(rate_hz=video_rate(next(iter(files.values())))))
    labels = complete(stored, reading, str(path.parent))
    if labels.rate_hz is None:
        labels = replace(labels, rate_hz=robot.control_rate_hz)
        told = f'nothing says how many rows it has per second; taken as {labels.rate_hz:g}, the '
        note(str(path.parent), f'{told}control rate of the robot. Where that is another: --fps')
    rate_hz = labels.rate_hz or 1.0
    images: dict[str, Images] = {}
    image_index = {}
    for name, key in keys.items():
        indexed = f'{INDEX}/{key}' in file
        index = _dataset(file, f'{INDEX}/{key}')[()] if indexed else np.arange(n_stored)
        rows, image_index[name] = distinct(index[:n])
        data = _dataset(file, f'{place}/{key}')
        swapped = _swapped(file, place, data.ndim, reading)
        if place == VIDEOS:
            found = pick_frames(files[key], rows, n_stored)
            found = swap_colours(found) if swapped else found
        else:
            found = _images(path, data, rows, n_stored, swapped, rate_hz)
        looked_at = place == IMAGES and data.ndim != 4  # files, which are decoded for that
        where = f'{path}: {place}/{key}'
        images[name] = found if looked_at else watch_frozen(found, proprio, rate_hz, where)
    _note_what_is_left(file, path, reading)
    expert, intervened = (
        file[name][:n] if name in file else None for name in ('expert', 'human_intervention')
    )
    motion = {
        stream: check_rows(joints.get(name), proprio.shape, f'{path}: {name}')
        for stream, name in MOTION.items()
    }
    motion = {stream: rows if rows is None else rows[:n] for stream, rows in motion.items()}
    kept = Rows(
        proprio[:n],
        actions[: len(actions) - n_stored + n],
        expert,
        images,
        image_index,
        **motion,
        human_intervention=intervened,
    )
    note_units(str(path.parent), reading)
    episode = assemble(kept, labels, robot, reading.other_robot, reading.units)
    if commands == STATE:
        episode = next_as_actions(episode)
    note_oddities(episode, robot, str(path.parent))
    return episode


def _without_base(
    rows: NDArray[Any], robot: RobotSpec, reading: Reading, where: str
) -> NDArray[Any]:
    """Return rows without the columns of a mobile base, where they have them and it is wanted."""
    if 'base' not in reading.drop or rows.shape[1:] != (robot.size + BASE,):
        return rows
    note(where, f'the last {BASE} columns of its joints, of a base, are left out')
    return rows[:, : robot.size]


def _commands(file: h5py.File, reading: Reading) -> str:
    """Return the dataset that the actions are made from: commands, or the measured joints.

    Raises:
        LookupError: There are no commands, and nobody said what to take in their place.
        ValueError: As ``wants_next_rows``.
    """
    if wants_next_rows(reading):
        return STATE
    if ACTION not in file:
        msg = f'no dataset {ACTION}; actions without commands: --actions state-next'
        raise LookupError(msg)
    return ACTION


def _swapped(file: h5py.File, place: str, ndim: int, reading: Reading) -> bool:
    """Return whether an ordinary decoder shows red as blue, and say so in one line.

    ALOHA's recorders hand RGB images to an encoder that expects BGR, which their readers undo.
    Their marks are ``compress`` and ``compress_len``.

    Args:
        file: The open file.
        place: ``IMAGES`` or ``VIDEOS``.
        ndim: Axes of the dataset of a camera there.
        reading: What a person says.
    """
    ours = 'rate_hz' in file.attrs and 'robot' in file.attrs
    stored = 'videos' if place == VIDEOS else 'raw pixels' if ndim == 4 else 'JPEG rows'
    if reading.images is None and (ours or stored == 'videos'):  # videos say it themselves
        return False
    compressed = bool(file.attrs.get('compress', False)) and 'compress_len' in file
    marked = compressed and place == IMAGES and ndim != 4
    swapped = marked if reading.images is None else reading.images == 'bgr'
    orders = {False: 'red, green, blue', True: 'blue, green, red'}
    if reading.images is None:
        why = 'as ALOHA recorders with compress_len write them' if marked else 'as is usual'
    else:
        why = 'as --images says'
        if swapped != marked and (ours or marked):
            writer = 'ALOHA recorders with compress_len write' if marked else 'this package writes'
            why += f', though {writer} {orders[marked]}'
    other = 'rgb' if swapped else 'bgr'
    note(
        str(Path(file.filename).parent),
        f'colours of its {stored} are taken as {orders[swapped]}, {why}; '
        f'where red looks blue: --images {other}',
    )
    return swapped


def _note_what_is_left(file: h5py.File, path: Path, reading: Reading) -> None:
    """Log which numbers and words of a file do not come along, one line for those of a folder."""
    left: list[str] = []

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not _is_known(name):
            left.append(f'{name} {item.shape}')

    file.visititems(look)
    left += [f'attribute {name}' for name in file.attrs if name not in ATTRIBUTES]
    if left:
        note(str(path.parent), f'left out, since episodes do not hold it: {", ".join(left)}')


def write_hdf5(path: Path, episode: Episode, robot: RobotSpec, videos: bool = False) -> None:
    """Write one episode; a failure leaves no file behind.

    Args:
        path: HDF5 file, which must not exist. Videos are named ``<stem>_<camera>.mp4`` beside it.
        episode: What to write.
        robot: Robot of the episode. ``sim`` is true when its name ends in ``_sim``, and where only
            a simulator moves it.
        videos: Images in MP4 files, at a loss, instead of inside.

    Raises:
        FileExistsError: The file exists.
        ConfigError: A video cannot hold the images.
    """
    written = [path]
    try:
        with create_hdf5(path) as file:
            file.attrs.update(_attributes(episode, robot))
            file['observations/qpos'], file['action'] = episode.proprio, episode.actions
            file['expert'] = episode.expert
            file['human_intervention'] = episode.human_intervention
            for stream, name in MOTION.items():
                if getattr(episode, stream) is not None:
                    file[name] = getattr(episode, stream)
            if videos and len(episode.actions) > 1:
                steps = np.diff(episode.actions, axis=0)
                file['relative_action'] = np.concatenate([steps, steps[-1:]])
            for name, index in episode.image_index.items():
                key = camera_key(name)
                file[f'{INDEX}/{key}'] = index
                if videos:
                    written.append(path.with_name(f'{path.stem}_{key}.mp4'))
                    _write_video(written[-1], episode, name)
                    file[f'{VIDEOS}/{key}'] = written[-1].name
                else:
                    _write_images(file, f'{IMAGES}/{key}', episode.images[name], index)
    except FileExistsError:
        raise
    except BaseException as error:
        for part in written:
            part.unlink(missing_ok=True)
        if isinstance(error, ValueError):
            msg = f'{path}: {error}'
            raise ConfigError(msg) from error
        raise


def relabel_hdf5(path: Path, labels: Mapping[str, Any]) -> None:
    """Write labels over the attributes of a file, in a copy that takes its place.

    Who writes into an HDF5 file and is killed leaves one that nobody can open; and merged folders
    share files.

    Args:
        path: HDF5 file.
        labels: Name -> value; ``task`` is ``task_description`` there.

    Raises:
        ConfigError: The file is damaged, or there is no room for the copy.
    """
    with whole_file(path) as partial:
        shutil.copy2(path, partial)
        with naming(path), h5py.File(partial, 'r+') as file:
            for name, value in labels.items():
                file.attrs['task_description' if name == 'task' else name] = value


def forget_hdf5(path: Path, names: Collection[str]) -> None:
    """Take attributes out of a file of ours, as far as they are there."""
    with naming(path), h5py.File(path, 'r+') as file:
        for name in names:
            file.attrs.pop(name, None)


def files_of(path: Path) -> list[Path]:
    """Return a file and the videos that it names, as far as they are there."""
    with open_hdf5(path) as file:
        group = file.get(VIDEOS, {})
        videos = [_video(path, item) for item in group.values()]
    return [path, *(video for video in videos if video.is_file())]


def cut_hdf5(path: Path, out: Path, rows: slice) -> None:
    """Write some rows of a file to a new one, everything as it is stored.

    Args:
        path: HDF5 file.
        out: File to make, which must not exist; a failure leaves a piece of it.
        rows: Rows that are kept.

    Raises:
        ConfigError: The file is damaged, or its images are in videos beside it.
    """
    with open_hdf5(path) as file:
        if VIDEOS in file:
            msg = 'its images are in videos beside it; convert it to bags first'
            raise ValueError(msg)
        n = len(_dataset(file, STATE))
        with create_hdf5(out) as new:
            new.attrs.update(file.attrs)
            labels = _labels(file)
            if rows.start and labels.start_ns is not None and labels.rate_hz:
                new.attrs['start_ns'] = labels.start_ns + round(rows.start * 1e9 / labels.rate_hz)
            file.visititems(lambda name, item: _copy_rows(item, new, name, n, rows))


def _copy_rows(item: Any, new: h5py.File, name: str, n: int, rows: slice) -> None:
    """Copy a dataset with the rows that are kept, along the first axis that has a row each."""
    if isinstance(item, h5py.Group):
        new.require_group(name).attrs.update(item.attrs)
        return
    axis = next((i for i, size in enumerate(item.shape) if size == n), None)
    if axis is None:
        item.file.copy(item, new, name)
        return
    kept = rows.stop - rows.start
    shape = tuple(kept if i == axis else size for i, size in enumerate(item.shape))
    chunks = item.chunks and tuple(min(c, s) for c, s in zip(item.chunks, shape, strict=True))
    data = new.create_dataset(
        name, shape, item.dtype, chunks=chunks, compression=item.compression,
        compression_opts=item.compression_opts,
    )  # fmt: skip
    data.attrs.update(item.attrs)
    for row in range(kept):
        place: list[Any] = [slice(None)] * len(shape)
        place[axis] = row
        origin = list(place)
        origin[axis] = rows.start + row
        data[tuple(place)] = item[tuple(origin)]


def _attributes(episode: Episode, robot: RobotSpec) -> dict[str, Any]:
    attributes = {
        'sim': robot.name.endswith('_sim') or robot.actions == 'displacements',
        'compress': False,
        'task_description': episode.task,
        'source': episode.source,
        'robot': robot.name,
        'rate_hz': episode.rate_hz,
        'start_ns': int(episode.stamps_ns[0]),
    }
    judged = {} if episode.success is None else {'success': episode.success}
    return attributes | judged | episode.circumstances.known


def _labels(file: h5py.File) -> Labels:
    """Return the labels in the attributes; only rollouts of Cosmos Policy name a policy."""
    found = {name: _plain(value) for name, value in file.attrs.items()}
    stored = {name: value for name, value in found.items() if value is not None}
    fps = stored.get('fps')  # of others; a word that is no number is none
    return Labels(
        task=stored.get('task_description'),
        source=read_source(stored.get('source', 'rollout' if 'policy_name' in stored else None)),
        success=read_flag(stored['success'], 'success') if 'success' in stored else None,
        rate_hz=_number(stored, 'rate_hz', float, fps if isinstance(fps, int | float) else None),
        start_ns=_number(stored, 'start_ns', int),
        robot=stored.get('robot'),
        circumstances=read_circumstances(stored, f'episode {file.filename}'),
    )


def _number(
    stored: Mapping[str, Any], name: str, kind: type[float], absent: float | None = None
) -> Any:
    """Return an attribute as a number of a kind, or what holds where it is absent.

    Raises:
        ValueError: It is none.
    """
    value = stored.get(name, absent)
    try:
        return None if value is None else kind(value)
    except (TypeError, ValueError, OverflowError) as error:
        msg = f'attribute {name} is {value!r}, a number is expected'
        raise ValueError(msg) from error


def _plain(value: Any) -> Any:
    """Return an attribute, or a text in a dataset, as one value; None for an empty one.

    Text that has a fixed length comes as bytes; what is no UTF-8 is Latin-1, as older programs
    write it.
    """
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        value = value.item()
    if isinstance(value, str):
        value = value.encode(errors='surrogateescape')
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            value = value.decode('latin-1')
        return value if value.strip() else None
    return value


def _video(path: Path, item: Any) -> Path:
    """Return the file that a dataset beside which it lies names.

    Raises:
        ValueError: It is no name.
    """
    name = _plain(item[()]) if isinstance(item, h5py.Dataset) else item
    if not isinstance(name, str):
        msg = f'{item.name} is {name}, the name of a video beside the file is expected'
        raise ValueError(msg)
    return path.parent / name


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    if not isinstance(file.get(name), h5py.Dataset):
        group: Any = file
        for part in name.split('/'):
            group = inside if isinstance(inside := group.get(part), h5py.Group) else group
        what = 'it' if group.name == '/' else group.name
        msg = f'no dataset {name}; {what} has {sorted(group)}, and the layout of ALOHA is expected'
        raise LookupError(msg)
    return file[name]


def _is_known(name: str) -> bool:
    """Whether a dataset, or the group it is in, is what an episode holds."""
    return any(name == known or name.startswith(known + '/') for known in KNOWN)


def _images(
    path: Path, data: h5py.Dataset, rows: NDArray[np.int64], n: int, swapped: bool, rate_hz: float
) -> ImageRows:
    """Return (U, height, width, 3) uint8 RGB of some rows of a dataset.

    Rows are pixels (S, height, width, 3), or files: padded with zeros (S, bytes), of variable
    length, strings, or opaque.

    Args:
        path: The file.
        data: Its dataset.
        rows: (U,) int64 rising rows.
        n: Rows of the episode.
        swapped: Whether red and blue change places.
        rate_hz: Rows per second [Hz], for messages.
    """
    files = data.ndim == 1 and data.dtype.kind in 'OSV'
    pixels = data.ndim == 4 and data.shape[-1] == 3
    if len(data) != n or not (files or (data.dtype == np.uint8 and (pixels or data.ndim == 2))):
        msg = f'{data.name} of shape {data.shape} {data.dtype} does not hold {n} images; expected '
        msg += f'are pixels, ({n}, height, width, 3) uint8, or a JPEG or PNG file per row'
        raise ValueError(msg)
    name = str(data.name)

    def read(wanted: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
        with naming(path), h5py.File(path, 'r') as file:
            for row in wanted.tolist():
                image = _image(file[name], row, rate_hz)
                yield image[:, :, ::-1] if swapped else image

    if pixels:
        return ImageRows(data.shape[1:3], read, rows)
    first = last = _image(data, int(rows[0]), rate_hz)
    since = int(rows[0])
    for row in rows.tolist():  # a damaged one is named before the long work, not in it
        image = _image(data, row, rate_hz)
        if not np.array_equal(image, last) or row == rows[-1]:
            if (row - since) / rate_hz > FROZEN_S:
                logger.warning(
                    'episode %s: %s shows the same image for %.2f s from %.2f s on: frozen',
                    path, name, (row - since) / rate_hz, since / rate_hz,
                )  # fmt: skip
            last, since = image, row
        if image.shape != first.shape:
            msg = f'{name}: row {row}, {row / rate_hz:.2f} s, has {image.shape[:2]} pixels, '
            msg += f'row {rows[0]} {first.shape[:2]}'
            raise ValueError(msg)
    return ImageRows(first.shape[:2], read, rows)


def _image(data: h5py.Dataset, row: int, rate_hz: float) -> NDArray[np.uint8]:
    """Return the (height, width, 3) uint8 image of a row, in the order it is stored in."""
    stored = data[row]
    if data.ndim == 4:
        return np.asarray(stored)
    file = stored if isinstance(stored, bytes) else np.asarray(stored).tobytes()
    try:
        return decode_file(file)
    except ValueError as error:
        msg = f'{data.name}: row {row}, {row / rate_hz:.2f} s: {error}'
        raise ValueError(msg) from error


def _write_images(file: h5py.File, name: str, images: Images, index: NDArray[np.int64]) -> None:
    """Write an image per tick, as ALOHA's readers expect; a chunk is an image, as ALOHA's are."""
    shape = (len(index), *images.shape[1:])
    data = file.create_dataset(
        name, shape, np.uint8, chunks=(1, *shape[1:]), compression='gzip', compression_opts=1
    )
    for tick, image in enumerate(shown(images, index)):
        data[tick] = image


def _write_video(path: Path, episode: Episode, camera: str) -> None:
    images = episode.images[camera]
    with VideoWriter(path, episode.rate_hz, *images.shape[1:3]) as video:
        for image in shown(images, episode.image_index[camera]):
            video.write(image)
