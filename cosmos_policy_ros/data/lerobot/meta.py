# SPDX-License-Identifier: Apache-2.0
"""What ``meta/`` of a LeRobot data set holds: features, episodes, tasks; v3.0, and v2 to read.

Source: huggingface/lerobot ``src/lerobot/datasets`` (``utils.py``, ``io_utils.py``,
``feature_utils.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.data.assemble import camera_key
from cosmos_policy_ros.data.lerobot.statistics import Stats
from cosmos_policy_ros.data.video import CODEC, PIXELS
from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError
import pyarrow as pa
import pyarrow.parquet as pq

VERSION = 'v3.0'
FILES_PER_CHUNK, DATA_MB, VIDEO_MB = 1000, 100, 200  # a file that has reached its MB is closed
DATA_PATH = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
VIDEO_PATH = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
INFO, STATS, TASKS = 'meta/info.json', 'meta/stats.json', 'meta/tasks.parquet'
EPISODES_V2 = 'meta/episodes.jsonl'
EPISODES = 'meta/episodes/chunk-000/file-000.parquet'
STATE, ACTION = 'observation.state', 'action'
MOTION = {'velocity': 'observation.velocity', 'effort': 'observation.effort'}  # of an Episode
HUMAN_INTERVENTION = 'human_intervention'
CAMERAS, INDEX = 'observation.images.', 'image_index.'  # followed by the camera


@dataclass(frozen=True)
class Meta:
    """The ``meta/`` folder of a data set.

    Attributes:
        info: ``meta/info.json``.
        episodes: Rows of ``meta/episodes`` in the order of their index, without statistics.
    """

    info: dict[str, Any]
    episodes: list[dict[str, Any]]


def is_lerobot(path: Path) -> bool:
    """Return whether a folder is a LeRobot data set of any version."""
    return (path / INFO).is_file()


def read_meta(root: Path) -> Meta:
    """Read ``meta/``.

    Raises:
        ConfigError: A file is missing or damaged, the format is neither v3 nor v2, or the numbers
            of episodes or rows disagree.
    """
    try:
        info = json.loads((root / INFO).read_bytes())
        version = str(info['codebase_version'])
        if version.startswith('v2.'):
            rows = _episodes_of_v2(root, info)
        elif version.startswith('v3.'):
            rows = _episodes(root)
        else:
            msg = f'format {version}, expected {VERSION} or v2.x'
            raise ValueError(msg)
        rows.sort(key=lambda row: row['episode_index'])
        n_rows = sum(row['length'] for row in rows)
        if (len(rows), n_rows) != (info['total_episodes'], info['total_frames']):
            msg = (
                f'{INFO} says {info["total_episodes"]} episodes with {info["total_frames"]} rows, '
                f'meta/episodes has {len(rows)} with {n_rows}'
            )
            raise ValueError(msg)
    except (
        OSError, LookupError, ValueError, TypeError, RecursionError, pa.ArrowException,
    ) as error:  # fmt: skip
        msg = f'data set {root} cannot be read: {describe_damage(error)}'
        raise ConfigError(msg) from error
    return Meta(info, rows)


def describe_damage(error: BaseException) -> str:
    """Return an error as text; that of a missing key says no more than its name."""
    return f'its meta/ lacks {error}, which is expected' if type(error) is KeyError else str(error)


def data_file(root: Path, info: Mapping[str, Any], entry: Mapping[str, Any], place: str) -> Path:
    """Return the file of an episode.

    Args:
        root: Folder of the data set.
        info: ``meta/info.json``.
        entry: Row of ``meta/episodes``.
        place: ``data`` or ``videos/<feature>``.
    """
    template = str(info['data_path' if place == 'data' else 'video_path'])
    number = int(entry['episode_index'])
    return root / template.format(
        video_key=place.removeprefix('videos/'),
        chunk_index=entry.get(f'{place}/chunk_index'),
        file_index=entry.get(f'{place}/file_index'),
        episode_index=number,
        episode_chunk=number // int(info.get('chunks_size', FILES_PER_CHUNK)),
    )


def _episodes(root: Path) -> list[dict[str, Any]]:
    """Return the rows of ``meta/episodes``."""
    rows: list[dict[str, Any]] = []
    file = root
    try:
        for file in sorted((root / 'meta' / 'episodes').glob('*/*.parquet')):
            columns = [c for c in pq.read_schema(file).names if not c.startswith('stats/')]
            rows += pq.read_table(file, columns=columns, partitioning=None).to_pylist()
    except (OSError, pa.ArrowException) as error:
        msg = f'{file}: {error}'
        raise ValueError(msg) from error
    return rows


def _episodes_of_v2(root: Path, info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of ``meta/episodes.jsonl``, as those of v3: a file per episode and video."""
    text = (root / EPISODES_V2).read_text(encoding='utf-8-sig')
    videos = [name for name, feature in info['features'].items() if feature['dtype'] == 'video']
    places = {f'videos/{name}/from_timestamp': 0.0 for name in videos}
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return [_entry(number, line) | places for number, line in lines]


def _entry(number: int, line: str) -> dict[str, Any]:
    """Return a line of ``meta/episodes.jsonl``.

    Raises:
        ValueError: It is torn.
    """
    try:
        return dict(json.loads(line))
    except (ValueError, RecursionError) as error:
        msg = f'line {number} of {EPISODES_V2} is no JSON ({error}); is the file whole?'
        raise ValueError(msg) from error


def write_meta(
    root: Path, info: Mapping[str, Any], episodes: Sequence[Mapping[str, Any]],
    tasks: Sequence[str], stats: Stats,
) -> None:  # fmt: skip
    """Write ``meta/``.

    Args:
        root: Folder of the data set.
        info: ``meta/info.json``.
        episodes: Rows of ``meta/episodes``.
        tasks: Task of every task index.
        stats: Statistics of the whole set.
    """
    (root / EPISODES).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in episodes]), root / EPISODES)
    pq.write_table(task_table(tasks), root / TASKS)
    for name, content in ((INFO, info), (STATS, stats)):
        write_info(root / name, content)


def write_info(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file of ``meta/``, in the place of one that is there."""
    with whole_file(file) as partial:
        text = json.dumps(content, indent=4, ensure_ascii=False)
        partial.write_text(text + '\n', encoding='utf-8')


def describe(
    robot: str, episodes: Sequence[Mapping[str, Any]], n_tasks: int, fps: int,
    found: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Return ``meta/info.json``.

    Args:
        robot: Name in the robot file.
        episodes: Rows of ``meta/episodes``.
        n_tasks: Number of tasks.
        fps: Rows per second [Hz].
        found: What ``features`` returns.
    """
    return {
        'codebase_version': VERSION,
        'robot_type': robot,
        'total_episodes': len(episodes),
        'total_frames': sum(entry['length'] for entry in episodes),
        'total_tasks': n_tasks,
        'chunks_size': FILES_PER_CHUNK,
        'data_files_size_in_mb': DATA_MB,
        'video_files_size_in_mb': VIDEO_MB,
        'fps': fps,
        'splits': {'train': f'0:{len(episodes)}'},
        'data_path': DATA_PATH,
        'video_path': VIDEO_PATH,
        'features': dict(found),
    }


def features(
    robot: RobotSpec, sizes: Mapping[str, tuple[int, int]], fps: int, motion: Collection[str] = ()
) -> dict[str, Any]:
    """Return the features of a data set.

    Args:
        robot: Names of the joints.
        sizes: Camera name -> height and width [px].
        fps: Rows per second [Hz].
        motion: Those of ``MOTION`` that there are.
    """
    joints = {'dtype': 'float32', 'shape': [robot.size], 'names': list(robot.joint_names)}
    scalars = {'timestamp': 'float32', 'expert': 'bool', HUMAN_INTERVENTION: 'bool'}
    whole = ('frame_index', 'episode_index', 'index', 'task_index')
    scalars |= dict.fromkeys((*whole, *(INDEX + camera_key(name) for name in sizes)), 'int64')
    found: dict[str, Any] = {STATE: joints, **dict.fromkeys(motion, joints), ACTION: joints}
    for name, (height, width) in sizes.items():
        video = {'height': height, 'width': width, 'codec': CODEC, 'pix_fmt': PIXELS, 'fps': fps}
        video |= {'channels': 3, 'is_depth_map': False}
        found[CAMERAS + camera_key(name)] = {
            'dtype': 'video',
            'shape': [height, width, 3],
            'names': ['height', 'width', 'channels'],
            'info': {f'video.{k}': v for k, v in video.items()} | {'has_audio': False},
        }
    return found | {k: {'dtype': v, 'shape': [1], 'names': None} for k, v in scalars.items()}


def task_table(tasks: Sequence[str]) -> pa.Table:
    """Return the table of tasks; its metadata makes the task the index of a pandas frame."""
    text: dict[str, Any] = {'pandas_type': 'unicode', 'numpy_type': 'object'}
    number = {'pandas_type': 'int64', 'numpy_type': 'int64', 'metadata': None}
    axis = {'name': None, 'field_name': None, **text, 'metadata': {'encoding': 'UTF-8'}}
    pandas = {
        'index_columns': ['task'],
        'column_indexes': [axis],
        'columns': [
            {'name': 'task_index', 'field_name': 'task_index', **number},
            {'name': 'task', 'field_name': 'task', **text, 'metadata': None},
        ],
        'creator': {'library': 'pyarrow', 'version': pa.__version__},
        'pandas_version': '2.2.3',
    }
    columns = {'task_index': pa.array(range(len(tasks)), pa.int64()), 'task': list(tasks)}
    return pa.table(columns).replace_schema_metadata({'pandas': json.dumps(pandas)})
