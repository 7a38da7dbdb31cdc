# SPDX-License-Identifier: Apache-2.0
"""Episodes as ALOHA HDF5 files, with images inside or in MP4 files beside.

Datasets: ``observations/qpos`` and ``action`` (S, 14), ``observations/images/<camera>``
(S, height, width, 3) uint8 RGB or ``observations/video_paths/<camera>``, the name of an MP4 file.
Where they were measured: ``observations/qvel`` and ``observations/effort`` (S, 14).
Written besides, and not needed for reading: ``expert`` (S,), ``observations/image_index/<camera>``
(S,) images are repeated where ticks outrun the camera, and the attributes
``source``, ``robot``, ``rate_hz`` and ``start_ns``. ``task_description`` and ``success`` are those
of Cosmos Policy's rollouts. Images are compressed losslessly, which readers do not notice.

Source: tonyzhaozh/act ``record_sim_episodes.py``; Interbotix/aloha (``compress``);
NVlabs/cosmos-policy ``preprocess_split_aloha_data.py`` and ``run_aloha_eval.py``.
Differs: ``qvel`` and ``effort`` that nobody measured are left out; Cosmos Policy's rollouts fill
them with zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any

from cosmos_policy_ros.data.assemble import (
    assemble,
    camera_key,
    distinct,
    find_cameras,
    Labels,
    Rows,
)
from cosmos_policy_ros.data.velocity_effort import check_rows
from cosmos_policy_ros.data.video import pick_frames, video_rate, VideoError, VideoWriter
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError, Episode
import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

IMAGES, VIDEOS, INDEX = (f'observations/{n}' for n in ('images', 'video_paths', 'image_index'))
MOTION = {'velocity': 'observations/qvel', 'effort': 'observations/effort'}  # of an Episode
_DAMAGE = (OSError, LookupError, ValueError, TypeError, RuntimeError, VideoError)


def read_hdf5(path: Path, robot: RobotSpec, given: Labels | None = None) -> Episode:
    """Read one episode.

    Args:
        path: HDF5 file.
        robot: Robot of the rows; its cameras are read, ``high`` from ``high`` or ``cam_high``.
        given: What to take for labels that the file does not have. A rate that is nowhere is that
            of the videos, and else the control rate of the robot, at which ALOHA records.

    Raises:
        ConfigError: The file is damaged, lacks a dataset, a camera or a label, has videos of
            another length, or holds NaN.
    """
    try:
        with h5py.File(path, 'r') as file:
            return _episode(file, path, robot, given or Labels())
    except _DAMAGE as error:
        msg = f'episode {path}: {error}'
        raise ConfigError(msg) from error


def _episode(file: h5py.File, path: Path, robot: RobotSpec, given: Labels) -> Episode:
    proprio, actions = _dataset(file, 'observations/qpos'), _dataset(file, 'action')
    n = len(proprio)
    place = IMAGES if IMAGES in file else VIDEOS
    if place not in file:
        msg = f'no {IMAGES} and no {VIDEOS}; it has {sorted(file.get("observations", []))}'
        raise ValueError(msg)
    keys = find_cameras(robot, file[place], f'{path}: {place}')
    files = {k: path.parent / file[place][k].asstr()[()] for k in keys.values() if place == VIDEOS}
    stored = _labels(file)
    if files:
        stored = stored.completed(Labels(rate_hz=video_rate(next(iter(files.values())))))
    labels = stored.completed(given).completed(Labels(rate_hz=robot.control_rate_hz))
    images, image_index = {}, {}
    for name, key in keys.items():
        indexed = f'{INDEX}/{key}' in file
        index = _dataset(file, f'{INDEX}/{key}')[()] if indexed else np.arange(n)
        rows, image_index[name] = distinct(index)
        if place == VIDEOS:
            images[name] = pick_frames(files[key], rows, n)
        else:
            images[name] = _images(_dataset(file, f'{IMAGES}/{key}'), rows, n)
    expert = file['expert'][()] if 'expert' in file else None
    motion = {
        stream: check_rows(
            _dataset(file, name)[()] if name in file else None, proprio.shape, f'{path}: {name}'
        )
        for stream, name in MOTION.items()
    }
    found = Rows(proprio[()], actions[()], expert, images, image_index, **motion)
    return assemble(found, labels, robot)


def write_hdf5(path: Path, episode: Episode, robot: RobotSpec, videos: bool = False) -> None:
    """Write one episode; a failure leaves no file behind.

    Args:
        path: HDF5 file, which must not exist. Videos are named ``<stem>_<camera>.mp4`` beside it.
        episode: What to write.
        robot: Robot of the episode. ``sim`` is true when its name ends in ``_sim``.
        videos: Images in MP4 files, at a loss, instead of inside.

    Raises:
        FileExistsError: The file exists.
        ConfigError: A video cannot hold the images.
    """
    written = [path]
    try:
        with _create(path) as file:
            file.attrs.update(_attributes(episode, robot))
            file['observations/qpos'], file['action'] = episode.proprio, episode.actions
            file['expert'] = episode.expert
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


class _Output(FileIO):
    """A file that notes the first write that failed and takes the others.

    HDF5 cannot close a file that could not be written: it writes again when the process ends,
    which then dies of it.
    """

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all bytes, or note why not."""
        if self.failure is None:
            try:
                self._write_all(memoryview(data))
            except OSError as error:
                self.failure = error
        return len(data)

    def _write_all(self, left: memoryview) -> None:
        while len(left):
            left = left[super().write(left) :]


@contextmanager
def _create(path: Path) -> Iterator[h5py.File]:
    """Yield a new HDF5 file.

    Raises:
        FileExistsError: It exists.
        OSError: It could not be written whole, as on a full disk.
    """
    with _Output(path, 'x+') as output:
        try:
            with h5py.File(output, 'w') as file:
                yield file
        finally:
            if output.failure is not None:
                raise output.failure


def _attributes(episode: Episode, robot: RobotSpec) -> dict[str, Any]:
    attributes = {
        'sim': robot.name.endswith('_sim'),
        'compress': False,
        'task_description': episode.task,
        'source': episode.source,
        'robot': robot.name,
        'rate_hz': episode.rate_hz,
        'start_ns': int(episode.stamps_ns[0]),
    }
    judged = {} if episode.success is None else {'success': episode.success}
    return attributes | judged


def _labels(file: h5py.File) -> Labels:
    """Return the labels in the attributes; only rollouts of Cosmos Policy name a policy."""
    stored = dict(file.attrs)
    source = stored.get('source', 'rollout' if 'policy_name' in stored else None)
    if source not in ('demo', 'rollout', None):
        msg = f"attribute 'source' must be 'demo' or 'rollout', got {source!r}"
        raise ValueError(msg)
    return Labels(
        task=stored.get('task_description'),
        source=source,
        success=bool(stored['success']) if 'success' in stored else None,
        rate_hz=float(stored['rate_hz']) if 'rate_hz' in stored else None,
        start_ns=int(stored['start_ns']) if 'start_ns' in stored else None,
        robot=stored.get('robot'),
    )


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    if not isinstance(file.get(name), h5py.Dataset):
        msg = f'no dataset {name}; record or convert the episode again'
        raise LookupError(msg)
    return file[name]


def _images(data: h5py.Dataset, rows: NDArray[np.int64], n: int) -> NDArray[np.uint8]:
    """Return (U, height, width, 3) uint8 RGB of some rows; (S, bytes) rows are padded JPEGs."""
    if len(data) != n or data.dtype != np.uint8 or data.ndim not in (2, 4):
        msg = f'{data.name} of shape {data.shape} {data.dtype} does not hold {n} images'
        raise ValueError(msg)
    if data.ndim == 4:
        return np.stack([data[row] for row in rows])
    files = [Image.open(BytesIO(data[row].tobytes())) for row in rows]
    return np.stack([np.asarray(file.convert('RGB')) for file in files])


def _write_images(
    file: h5py.File, name: str, images: NDArray[np.uint8], index: NDArray[np.int64]
) -> None:
    """Write an image per tick, as ALOHA's readers expect; a chunk is an image, as ALOHA's are."""
    shape = (len(index), *images.shape[1:])
    data = file.create_dataset(
        name, shape, np.uint8, chunks=(1, *shape[1:]), compression='gzip', compression_opts=1
    )
    for tick, row in enumerate(index):
        data[tick] = images[row]


def _write_video(path: Path, episode: Episode, camera: str) -> None:
    images = episode.images[camera]
    with VideoWriter(path, episode.rate_hz, *images.shape[1:3]) as video:
        for row in episode.image_index[camera]:
            video.write(images[row])
