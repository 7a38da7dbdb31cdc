# SPDX-License-Identifier: Apache-2.0
"""LeRobot v3 data sets: what we write is the published format, what others write is read."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
import json
import os
from pathlib import Path
import shutil
from typing import Any

from cosmos_policy_ros.data.assemble import Labels
from cosmos_policy_ros.data.image_rows import shown
from cosmos_policy_ros.data.lerobot import writer as lerobot_writer
from cosmos_policy_ros.data.lerobot.meta import read_meta, TASKS
from cosmos_policy_ros.data.lerobot.reader import check_files, check_lengths, read_lerobot
from cosmos_policy_ros.data.lerobot.relabel import relabel_lerobot
from cosmos_policy_ros.data.lerobot.statistics import histogram, image_stats, row_stats
from cosmos_policy_ros.data.lerobot.writer import LeRobotWriter
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.data.video import count_frames, VideoWriter
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.types import ConfigError, Episode
import numpy as np
from PIL import Image
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest
from samples import assert_same_episode, psnr, ROBOT, sample_episode, sample_image, START_NS

PSNR_DB = 35.0  # what H.264 leaves of a picture, at least
DATA, EPISODES = 'data/chunk-000/file-000.parquet', 'meta/episodes/chunk-000/file-000.parquet'
VIDEO = 'videos/observation.images.cam_high/chunk-000/file-000.mp4'
FIRST = sample_episode(0)
SECOND = sample_episode(1, 9, source='rollout', task='drop the cube', success=None)


def write(root: Path, *episodes: Episode) -> Path:
    """Write a data set."""
    with LeRobotWriter(root, ROBOT, 50.0) as data_set:
        for episode in episodes:
            data_set.add(episode)
    return root


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of two episodes, to be read only."""
    return write(tmp_path_factory.mktemp('lerobot') / 'set', FIRST, SECOND)


@pytest.fixture
def own(written: Path, tmp_path: Path) -> Path:
    """Return a copy of the data set, to be damaged."""
    return Path(shutil.copytree(written, tmp_path / 'own'))


def edit(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a table on disk."""
    table = change(pq.read_table(path, partitioning=None))
    pq.write_table(table, path)


def edit_info(root: Path, **changes: Any) -> None:
    """Change ``meta/info.json``."""
    path = root / 'meta' / 'info.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_first_episode_comes_back(written: Path) -> None:
    """Joints, actions, flags and labels are exact, pictures within 35 dB."""
    assert_same_episode(read_lerobot(written, 0, ROBOT), FIRST, PSNR_DB)


def test_later_episode_comes_back_from_the_same_files(written: Path) -> None:
    """Its rows and frames are found behind those of the first; nobody judged it."""
    assert_same_episode(read_lerobot(written, 1, ROBOT), SECOND, PSNR_DB)


def test_pictures_of_an_episode_are_its_own(written: Path) -> None:
    """The bound is one that the frames of the other episode do not reach."""
    got = read_lerobot(written, 1, ROBOT).images['high']
    assert np.abs(np.asarray(got, int) - FIRST.images['high']).mean() > 3


def test_info_is_that_of_the_format(written: Path) -> None:
    """Keys and values of ``meta/info.json`` as LeRobot v3.0 publishes them."""
    info = json.loads((written / 'meta' / 'info.json').read_text())
    features = info.pop('features')
    assert info == {
        'codebase_version': 'v3.0',
        'robot_type': 'aloha_sim',
        'total_episodes': 2,
        'total_frames': 21,
        'total_tasks': 2,
        'chunks_size': 1000,
        'data_files_size_in_mb': 100,
        'video_files_size_in_mb': 200,
        'fps': 50,
        'splits': {'train': '0:2'},
        'data_path': 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet',
        'video_path': 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4',
    }
    assert features['action']['shape'] == [14]
    assert features['observation.state']['names'][6] == 'follower_left/gripper'
    high = features['observation.images.cam_high']
    assert (high['dtype'], high['shape']) == ('video', [240, 320, 3])
    assert high['names'] == ['height', 'width', 'channels']
    assert (high['info']['video.codec'], high['info']['video.fps']) == ('h264', 50)
    for name, dtype in (('timestamp', 'float32'), ('index', 'int64'), ('task_index', 'int64')):
        assert features[name] == {'dtype': dtype, 'shape': [1], 'names': None}


def test_rows_are_those_of_the_format(written: Path) -> None:
    """One row group per episode; times and frames start anew, the index goes on."""
    file = pq.ParquetFile(written / DATA)
    table = file.read()
    info = json.loads((written / 'meta' / 'info.json').read_text())
    in_tables = {k for k, f in info['features'].items() if f['dtype'] != 'video'}
    assert set(table.column_names) == in_tables
    assert file.num_row_groups == 2
    assert table.schema.field('action').type == pa.list_(pa.float32(), 14)
    assert table.schema.field('timestamp').type == pa.float32()
    assert table['index'].to_pylist() == list(range(21))
    assert table['frame_index'].to_pylist() == [*range(12), *range(9)]
    assert table['episode_index'].to_pylist() == [0] * 12 + [1] * 9
    assert table['task_index'].to_pylist() == [0] * 12 + [1] * 9
    assert table['timestamp'][13].as_py() == pytest.approx(0.02)


def test_episodes_tell_where_they_lie(written: Path) -> None:
    """Offsets of rows and of seconds, as LeRobot looks them up."""
    row = pq.read_table(written / EPISODES, partitioning=None).to_pylist()[1]
    video = 'videos/observation.images.cam_left_wrist'
    wanted = {
        'episode_index': 1,
        'tasks': ['drop the cube'],
        'length': 9,
        'dataset_from_index': 12,
        'dataset_to_index': 21,
        'data/chunk_index': 0,
        'data/file_index': 0,
        f'{video}/chunk_index': 0,
        f'{video}/file_index': 0,
        f'{video}/from_timestamp': 0.24,
        f'{video}/to_timestamp': 0.42,
        'meta/episodes/chunk_index': 0,
        'meta/episodes/file_index': 0,
        'source': 'rollout',
        'success': None,
        'start_ns': START_NS,
        'operator_id': 'Ada',
        'station_id': 'bench 3',
        'robot_id': 'left lab',
        'is_eval_episode': True,
        'checkpoint': 'f00d',
        'progress': 0.75,
        'failure': None,
        'note': 'new lamp',
    }
    assert {k: v for k, v in row.items() if not k.startswith('stats/')} == {
        **wanted,
        **{
            k.replace('left_wrist', other): v
            for other in ('high', 'right_wrist')
            for k, v in wanted.items()
            if k.startswith(video)
        },
    }
    assert len(row['stats/action/q99']) == 14
    assert row['stats/observation.images.cam_high/count'] == [3]


def test_tasks_are_the_index_of_a_pandas_frame(written: Path) -> None:
    """LeRobot looks a task up by the index of the frame it loads."""
    table = pq.read_table(written / 'meta' / 'tasks.parquet')
    assert table['task'].to_pylist() == ['move the cube', 'drop the cube']
    assert table['task_index'].to_pylist() == [0, 1]
    assert table.schema.pandas_metadata['index_columns'] == ['task']


def test_videos_have_a_frame_per_row(written: Path) -> None:
    """All episodes of a camera follow each other in one file."""
    assert count_frames(written / VIDEO) == 21
    check_lengths(written)


def test_statistics_of_the_set_are_those_of_all_rows(written: Path) -> None:
    """Vectors per joint, pictures per colour in 0..1 and of shape (3, 1, 1)."""
    stats = json.loads((written / 'meta' / 'stats.json').read_text())
    rows = np.concatenate([FIRST.actions, SECOND.actions])
    np.testing.assert_allclose(stats['action']['mean'], rows.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(stats['action']['q10'], np.quantile(rows, 0.1, axis=0), rtol=1e-5)
    assert stats['action']['count'] == [21]
    pictures = np.concatenate([FIRST.images['high'], SECOND.images['high']]) / 255.0
    high = stats['observation.images.cam_high']
    np.testing.assert_allclose(np.reshape(high['mean'], 3), pictures.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(np.reshape(high['std'], 3), pictures.std(axis=(0, 1, 2)))
    assert (np.shape(high['q50']), high['count']) == ((3, 1, 1), [6])


def test_statistics_of_numbers() -> None:
    """Four numbers whose mean, deviation and median are known."""
    stats = row_stats(np.array([1.0, 2.0, 3.0, 6.0]))
    assert (stats['min'], stats['max'], stats['mean']) == ([1.0], [6.0], [3.0])
    assert (stats['q50'], stats['count']) == ([2.5], [4])
    assert stats['std'] == [pytest.approx(3.5**0.5)]


def test_statistics_of_a_picture() -> None:
    """Two pixels: black and full red."""
    image = np.zeros((1, 1, 2, 3), np.uint8)
    image[0, 0, 1, 0] = 255
    stats = image_stats(histogram(image))
    assert stats['mean'] == [[[0.5]], [[0.0]], [[0.0]]]
    assert stats['std'] == [[[0.5]], [[0.0]], [[0.0]]]
    assert stats['max'] == [[[1.0]], [[0.0]], [[0.0]]]
    assert stats['q90'] == [[[1.0]], [[0.0]], [[0.0]]]
    assert stats['q10'] == [[[0.0]], [[0.0]], [[0.0]]]


def test_full_files_are_followed_by_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a limit of 0 MB every episode has files of its own, and is found in them."""
    monkeypatch.setattr(lerobot_writer, 'DATA_MB', 0)
    monkeypatch.setattr(lerobot_writer, 'VIDEO_MB', 0)
    root = write(tmp_path / 'set', FIRST, SECOND)
    assert len(list(root.glob('data/chunk-000/*.parquet'))) == 2
    assert count_frames(root / VIDEO.replace('file-000', 'file-001')) == 9
    check_lengths(root)
    assert_same_episode(read_lerobot(root, 1, ROBOT), SECOND, PSNR_DB)


def test_data_set_of_another_recorder_is_read(own: Path) -> None:
    """Without our columns every row has its own frame; ``next.success`` is the verdict."""
    info = json.loads((own / 'meta' / 'info.json').read_text())
    ours = [k for k in info['features'] if k.startswith('image_index.') or k == 'expert']
    features = {k: f for k, f in info['features'].items() if k not in ours}
    features['next.success'] = {'dtype': 'bool', 'shape': [1], 'names': None}
    edit_info(own, robot_type='unknown', features=features)
    edit(own / EPISODES, lambda t: t.drop_columns(['source', 'success', 'start_ns']))
    reached = pa.array([False] * 20 + [True])
    edit(own / DATA, lambda t: t.drop_columns(ours).append_column('next.success', reached))
    first = read_lerobot(own, 0, ROBOT, Reading(Labels(source='demo')))
    second = read_lerobot(own, 1, ROBOT, Reading(Labels(source='demo')))
    assert (first.success, second.success) == (False, True)
    assert second.image_index['high'].tolist() == list(range(9))
    assert second.stamps_ns[:2].tolist() == [0, 20_000_000]
    assert second.expert.all()
    with pytest.raises(ConfigError, match=r'episode 1 of .*it has no source'):
        read_lerobot(own, 1, ROBOT)


def test_format_before_version_2_is_refused(own: Path) -> None:
    """Its layout was another for every recorder."""
    edit_info(own, codebase_version='v1.6')
    with pytest.raises(ConfigError, match=r'format v1.6, expected v3.0 or v2.x'):
        read_lerobot(own, 0, ROBOT)


def test_data_set_of_version_2_is_read(own: Path, tmp_path: Path) -> None:
    """A table per episode and a video per episode and camera, named in lines of JSON."""
    old = tmp_path / 'old'
    table = pq.read_table(own / DATA, partitioning=None)
    cameras = [
        f'observation.images.{key}' for key in ('cam_high', 'cam_left_wrist', 'cam_right_wrist')
    ]
    for number, episode in enumerate((FIRST, SECOND)):
        (old / 'data' / 'chunk-000').mkdir(parents=True, exist_ok=True)
        mine = table.filter(pa.compute.equal(table['episode_index'], number))
        pq.write_table(mine, old / f'data/chunk-000/episode_{number:06d}.parquet')
        for camera, name in zip(cameras, episode.images, strict=True):
            path = old / f'videos/chunk-000/{camera}/episode_{number:06d}.mp4'
            with VideoWriter(path, 50.0, 240, 320) as video:
                for image in shown(episode.images[name], episode.image_index[name]):
                    video.write(image)
    (old / 'meta').mkdir()
    lines = [
        {'episode_index': i, 'tasks': [e.task], 'length': len(e.actions)}
        for i, e in enumerate((FIRST, SECOND))
    ]
    listed = '\n'.join(map(json.dumps, lines))
    (old / 'meta' / 'episodes.jsonl').write_text(listed, encoding='utf-8-sig')  # of Windows
    shutil.copy(own / 'meta' / 'info.json', old / 'meta' / 'info.json')
    edit_info(
        old,
        codebase_version='v2.1',
        data_path='data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet',
        video_path='videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4',
    )
    second = read_lerobot(old, 1, ROBOT, Reading(Labels(source='rollout')))
    np.testing.assert_array_equal(second.actions, SECOND.actions)
    assert second.task == 'drop the cube'
    assert psnr(second.images['left_wrist'], SECOND.images['left_wrist']) > PSNR_DB


JOINTS = ('waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate', 'gripper')
RIGHT_FIRST = [f'{side}_{joint}' for side in ('right', 'left') for joint in JOINTS]


def rename_columns(root: Path, names: Any) -> None:
    """Give the columns of joints other names."""
    features = json.loads((root / 'meta' / 'info.json').read_text())['features']
    for key in ('observation.state', 'action'):
        features[key]['names'] = names
    edit_info(root, features=features)


@pytest.mark.parametrize(
    'shape',
    ['list', 'list in a list', 'motors', 'numbers', 'numbers as text', 'by number', 'by arm'],
)
def test_joints_are_found_by_the_names_of_the_columns(own: Path, shape: str) -> None:
    """The right arm is first there, in every shape that names have."""
    names = {
        'list': RIGHT_FIRST,
        'list in a list': [RIGHT_FIRST],
        'motors': {'motors': RIGHT_FIRST},
        'numbers': {name: i for i, name in enumerate(RIGHT_FIRST)},
        'numbers as text': {name: str(i) for i, name in enumerate(RIGHT_FIRST)},
        'by number': {str(i): RIGHT_FIRST[i] for i in sorted(range(14), key=str)},
        'by arm': {'right_arm': list(JOINTS), 'left_arm': list(JOINTS)},
    }[shape]
    rename_columns(own, names)
    got = read_lerobot(own, 0, ROBOT)
    swapped = [*range(7, 14), *range(7)]
    np.testing.assert_array_equal(got.proprio, FIRST.proprio[:, swapped])
    np.testing.assert_array_equal(got.actions, FIRST.actions[:, swapped])


def test_names_of_the_same_order_change_nothing(own: Path) -> None:
    """Also with what other recorders write around them."""
    rename_columns(own, [f'{name}.pos' for name in [*RIGHT_FIRST[7:], *RIGHT_FIRST[:7]]])
    np.testing.assert_array_equal(read_lerobot(own, 0, ROBOT).proprio, FIRST.proprio)


@pytest.mark.parametrize('names', [None, [f'motor_{i}' for i in range(14)]])
def test_columns_without_names_are_told(
    own: Path, names: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says which order was taken."""
    rename_columns(own, names)
    np.testing.assert_array_equal(read_lerobot(own, 0, ROBOT).proprio, FIRST.proprio)
    assert 'observation.state: its columns have no names of joints; taken as fol' in caplog.text


@pytest.mark.parametrize(
    'names',
    [
        [f'{side}_joint_{i}' for side in ('right', 'left') for i in range(7)],
        [f'joint_{i}' for i in (*range(7, 14), *range(7))],
        [
            f'{side}_{axis}'
            for side in ('left', 'right')
            for axis in ('x', 'y', 'z', 'a', 'b', 'c', 'd')
        ],
    ],
)
def test_names_that_nobody_can_match_are_refused(own: Path, names: list[str]) -> None:
    """Both orders are in the line."""
    rename_columns(own, names)
    with pytest.raises(
        ConfigError, match=rf"named \['{names[0]}', .*the joints are \['follower_left/w"
    ):
        read_lerobot(own, 0, ROBOT)


def test_numbered_joints_under_the_wrong_arm_first_are_refused(own: Path) -> None:
    """Nobody can tell; under the arms in the order of the robot they are taken as they come."""
    numbered = [f'joint_{i}' for i in range(7)]
    rename_columns(own, {'left': numbered, 'right': numbered})
    np.testing.assert_array_equal(read_lerobot(own, 0, ROBOT).proprio, FIRST.proprio)
    rename_columns(own, {'right': numbered, 'left': numbered})
    with pytest.raises(ConfigError, match=r"named \['right/joint_0'.*nobody can tell which"):
        read_lerobot(own, 0, ROBOT)


@pytest.mark.parametrize('bare', [False, True])
def test_images_inside_the_tables_are_read(own: Path, bare: bool) -> None:
    """PNG files in a column, as data sets without videos have them; alone or with a name."""
    features = json.loads((own / 'meta' / 'info.json').read_text())['features']
    for name, images in FIRST.images.items():
        key = f'observation.images.cam_{name}'
        features[key]['dtype'] = 'image'
        files = []
        for row in [*FIRST.image_index[name], *[0] * 9]:
            file = BytesIO()
            Image.fromarray(images[row]).save(file, 'PNG')
            data = file.getvalue()
            files.append(data if bare else {'bytes': data, 'path': f'{row}.png'})
        edit(own / DATA, lambda t, k=key, f=files: t.append_column(k, pa.array(f)))
    edit_info(own, features=features)
    assert_same_episode(read_lerobot(own, 0, ROBOT), FIRST)


def test_times_that_drift_are_refused_in_every_episode(own: Path) -> None:
    """The rows of the first episode are at 40 Hz, the data set says 50."""
    times = [i / 40 for i in range(12)] + [i / 50 for i in range(9)]
    slower = pa.array(times, pa.float32())
    edit(
        own / DATA,
        lambda t: t.set_column(t.schema.get_field_index('timestamp'), 'timestamp', slower),
    )
    read_lerobot(own, 1, ROBOT)
    with pytest.raises(
        ConfigError, match=r'episode 0 of .*row 2 is at 0.050 s, .*be at 0.040 s; .*up to 0.055 s'
    ):
        read_lerobot(own, 0, ROBOT)


def test_robot_of_another_name_with_the_same_joints_is_taken_if_wanted(own: Path) -> None:
    """The line without the option names it."""
    edit_info(own, robot_type='aloha')
    with pytest.raises(
        ConfigError, match=r"of robot 'aloha', .* with --robot, or --robot-type-ok"
    ):
        read_lerobot(own, 0, ROBOT)
    got = read_lerobot(own, 0, ROBOT, Reading(other_robot=True))
    np.testing.assert_array_equal(got.proprio, FIRST.proprio)


@pytest.mark.parametrize('file', [DATA, VIDEO])
def test_torn_file_is_named_before_anything_is_read(own: Path, file: str) -> None:
    """Opening is quick."""
    path = own / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ConfigError, match=f'episode 1 of .*{file}: '):
        check_files(own, 1)


def test_base_behind_the_arms_is_dropped_if_wanted(own: Path) -> None:
    """16 numbers of a mobile robot; the line without the option names it."""

    def widen(table: pa.Table) -> pa.Table:
        for key in ('observation.state', 'action'):
            rows = [[*row, 0.5, 0.25] for row in table[key].to_pylist()]
            column = pa.array(rows, pa.list_(pa.float32()))
            table = table.set_column(table.schema.get_field_index(key), key, column)
        return table

    edit(own / DATA, widen)
    with pytest.raises(ConfigError, match=r'shape \(12, 16\) do not fit .* --drop base'):
        read_lerobot(own, 0, ROBOT)
    got = read_lerobot(own, 0, ROBOT, Reading(drop=('base',)))
    np.testing.assert_array_equal(got.actions, FIRST.actions)


@pytest.mark.parametrize('text', ['{"codebase_version": "v3.0", ', '[' * 100_000])
def test_damaged_info_is_named(own: Path, text: str) -> None:
    """Half a file, or one without an end, is one clear error."""
    (own / 'meta' / 'info.json').write_text(text)
    with pytest.raises(ConfigError, match=r'data set .*own cannot be read'):
        read_lerobot(own, 0, ROBOT)


def test_numbers_of_episodes_must_agree(own: Path) -> None:
    """A table that lost an episode is noticed."""
    edit(own / EPISODES, lambda t: t.slice(0, 1))
    with pytest.raises(ConfigError, match=r'says 2 episodes with 21 rows, .* has 1 with 12'):
        read_lerobot(own, 0, ROBOT)


def test_missing_rows_are_noticed(own: Path) -> None:
    """The other episode can still be read."""
    edit(own / DATA, lambda t: t.slice(0, 20))
    with pytest.raises(ConfigError, match=r'episode 1 of .* has 8 rows of it, .* says 9'):
        read_lerobot(own, 1, ROBOT)
    assert len(read_lerobot(own, 0, ROBOT).actions) == 12


def test_nan_is_named_with_its_episode(own: Path) -> None:
    """A hole in one row of the second episode."""

    def spoil(table: pa.Table) -> pa.Table:
        rows = np.array(table['action'].to_pylist(), np.float32)
        rows[20, 3] = np.nan
        column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), 14)
        return table.set_column(table.column_names.index('action'), 'action', column)

    edit(own / DATA, spoil)
    with pytest.raises(ConfigError, match=r'episode 1 of .*actions must be finite, got 1 NaN'):
        read_lerobot(own, 1, ROBOT)
    assert len(read_lerobot(own, 0, ROBOT).actions) == 12


def test_short_video_is_noticed(own: Path) -> None:
    """Both checks name the file: reading the episode and counting the frames."""
    with VideoWriter(own / VIDEO, 50.0, 240, 320) as video:
        for k in range(20):
            video.write(sample_image(k))
    with pytest.raises(ConfigError, match=r'cam_high/.* has 8 frames from 0.240 s on, .* has 9 r'):
        read_lerobot(own, 1, ROBOT)
    with pytest.raises(ConfigError, match=r'cam_high/.* has 20 frames, its episodes 21 rows'):
        check_lengths(own)


def test_truncated_video_is_named(own: Path) -> None:
    """A torn MP4 is one clear error."""
    (own / VIDEO).write_bytes((own / VIDEO).read_bytes()[:2000])
    with pytest.raises(ConfigError, match=r'episode 0 of .*cam_high'):
        read_lerobot(own, 0, ROBOT)


def test_missing_camera_is_named(own: Path) -> None:
    """What is there is told."""
    info = json.loads((own / 'meta' / 'info.json').read_text())
    info['features'].pop('observation.images.cam_left_wrist')
    edit_info(own, features=info['features'])
    with pytest.raises(ConfigError, match=r'no camera cam_left_wrist in .*it has .*cam_high'):
        read_lerobot(own, 0, ROBOT)


def test_fraction_of_a_row_per_second_is_refused(tmp_path: Path) -> None:
    """The format has whole rates only."""
    with pytest.raises(ConfigError, match=r'whole number of rows per second, got 12.5 Hz'):
        LeRobotWriter(tmp_path / 'set', ROBOT, 12.5)
    assert not (tmp_path / 'set').exists()


def test_episode_of_another_rate_leaves_nothing(tmp_path: Path) -> None:
    """A data set has one rate; the unfinished one is removed."""
    slow = sample_episode(1, rate_hz=25.0)
    with pytest.raises(ConfigError, match=r'episode 1 has 25.0 Hz'):
        write(tmp_path / 'set', FIRST, slow)
    assert not (tmp_path / 'set').exists()


def test_lerobot_itself_loads_it(written: Path) -> None:
    """The published package finds rows, tasks and frames."""
    pytest.importorskip('lerobot')
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    data_set = LeRobotDataset('local/set', root=written, video_backend='pyav')
    item = data_set[13]
    assert (len(data_set), data_set.num_episodes, item['task']) == (21, 2, 'drop the cube')
    np.testing.assert_array_equal(item['action'].numpy(), SECOND.actions[1])
    got = item['observation.images.cam_high'].permute(1, 2, 0).numpy() * 255
    assert np.abs(got - SECOND.images['high'][0]).mean() < 4


def test_label_of_one_episode_leaves_the_verdicts_of_the_others(own: Path) -> None:
    """A column that one has a word in is no word about the others: their rows count."""
    info = json.loads((own / 'meta' / 'info.json').read_text())
    reached = {'dtype': 'bool', 'shape': [1], 'names': None}
    edit_info(own, features=info['features'] | {'next.success': reached})
    edit(own / EPISODES, lambda t: t.drop_columns(['success']))
    rows = pa.array([False] * 20 + [True])
    edit(own / DATA, lambda t: t.append_column('next.success', rows))
    relabel_lerobot(own, 0, {'success': True})
    assert [read_lerobot(own, number, ROBOT).success for number in (0, 1)] == [True, True]


def test_labels_that_others_write_otherwise_are_not_guessed(own: Path) -> None:
    """Truths as text; a source of another meaning is none, and a person says it."""

    def relabel(table: pa.Table) -> pa.Table:
        table = table.drop_columns(['success', 'source'])
        table = table.append_column('success', pa.array(['false', 'true']))
        return table.append_column('source', pa.array(['teleop', 'teleop']))

    edit(own / EPISODES, relabel)
    edit_info(own)
    said = Reading(Labels(source='demo'))
    episodes = [read_lerobot(own, number, ROBOT, said) for number in (0, 1)]
    assert [(e.source, e.success) for e in episodes] == [('demo', False), ('demo', True)]
    with pytest.raises(ConfigError, match='it has no source; give it with --source'):
        read_lerobot(own, 0, ROBOT)
    edit(own / EPISODES, lambda t: t.set_column(
        t.column_names.index('success'), 'success', pa.array(['maybe', 'true'])
    ))  # fmt: skip
    edit_info(own)
    with pytest.raises(ConfigError, match="success: expected 'true' or 'false', got 'maybe'"):
        read_lerobot(own, 0, ROBOT, said)


def test_label_is_that_of_the_episode_of_its_index(own: Path) -> None:
    """A data set from which episodes were taken out need not count from 0."""

    def shift(table: pa.Table) -> pa.Table:
        at = table.column_names.index('episode_index')
        return table.set_column(at, 'episode_index', pa.compute.add(table['episode_index'], 1))

    for file in (EPISODES, DATA):
        edit(own / file, shift)
    edit_info(own)
    relabel_lerobot(own, 0, {'success': False, 'task': 'drop it'})
    episodes = [read_lerobot(own, number, ROBOT) for number in (0, 1)]
    assert [(e.success, e.task) for e in episodes] == [
        (False, 'drop it'),
        (None, 'drop the cube'),
    ]


def test_task_is_added_to_a_table_whose_index_has_no_name(own: Path) -> None:
    """As some versions of lerobot wrote it."""
    edit(own / TASKS, lambda t: t.rename_columns(['task_index', '__index_level_0__']))
    relabel_lerobot(own, 0, {'task': 'drop it'})
    assert [read_lerobot(own, n, ROBOT).task for n in (0, 1)] == ['drop it', 'drop the cube']
    assert pq.read_table(own / TASKS)['task'].to_pylist()[2] == 'drop it'


def test_label_that_a_column_cannot_hold_is_told(own: Path) -> None:
    """A column of others that has text where we have a truth."""
    edit(own / EPISODES, lambda t: t.set_column(
        t.column_names.index('success'), 'success', pa.array(['false', 'true'])
    ))  # fmt: skip
    with pytest.raises(ConfigError, match='success is a column of string, which True is not'):
        relabel_lerobot(own, 0, {'success': True})


def test_colours_are_exchanged_where_a_person_says_so(
    own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of recorders that hand on what their camera library leaves."""
    usual = read_lerobot(own, 0, ROBOT).images['high'][1]
    swapped = read_lerobot(own, 0, ROBOT, Reading(images='bgr')).images['high'][1]
    np.testing.assert_array_equal(swapped, usual[:, :, ::-1])
    assert 'colours are taken as blue, green, red, as --images says' in caplog.text


def test_features_that_do_not_come_along_are_told(
    own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not those of LeRobot itself, nor ours."""
    read_lerobot(own, 0, ROBOT)
    assert 'left out' not in caplog.text
    features = json.loads((own / 'meta' / 'info.json').read_text())['features']
    features['observation.tactile'] = {'dtype': 'float32', 'shape': [16], 'names': None}
    edit_info(own, features=features)
    read_lerobot(own, 0, ROBOT)
    assert 'left out, since episodes do not hold it: observation.tactile' in caplog.text


def test_video_of_depth_is_refused(own: Path) -> None:
    """It is decoded like any other, and its greys are no colours."""
    features = json.loads((own / 'meta' / 'info.json').read_text())['features']
    features['observation.images.cam_high']['info']['video.is_depth_map'] = True
    edit_info(own, features=features)
    with pytest.raises(ConfigError, match=r'images.cam_high is depth, a colour image is expected'):
        read_lerobot(own, 0, ROBOT)


def test_camera_of_another_name_is_mapped(own: Path) -> None:
    """As ``top``, which LeRobot's own data sets of the simulated ALOHA have."""
    info = json.loads((own / 'meta' / 'info.json').read_text())
    features = {k.replace('cam_high', 'top'): f for k, f in info['features'].items()}
    edit_info(own, features=features)
    for table in (own / EPISODES, own / DATA):
        edit(
            table,
            lambda t: t.rename_columns([n.replace('cam_high', 'top') for n in t.schema.names]),
        )
    videos = own / 'videos' / 'observation.images.cam_high'
    videos.rename(videos.with_name('observation.images.top'))
    with pytest.raises(ConfigError, match=r"no camera cam_high in .*'top'.*--map NAME=CAMERA"):
        read_lerobot(own, 0, ROBOT)
    said = Reading(topics={ROBOT.cameras[0].topic: 'top'})
    images = read_lerobot(own, 0, ROBOT, said).images['high']
    assert psnr(images, FIRST.images['high']) >= PSNR_DB


# Units

SO101 = read_robot(robot_file('so101'))
MOTORS = ('shoulder_pan', 'shoulder_lift', 'elbow_flex', 'wrist_flex', 'wrist_roll', 'gripper')


def so101_set(root: Path, row: list[float], last: float = 0.0) -> Path:
    """Make of a data set one of two SO-101 that stand still, but for the last row of a joint."""
    rename_columns(root, [f'{side}_{name}.pos' for side in ('left', 'right') for name in MOTORS])

    def fill(table: pa.Table) -> pa.Table:
        for key in ('observation.state', 'action'):
            rows = np.tile(np.array(row * 2), (table.num_rows, 1))
            rows[11, 0] += last
            column = pa.array(rows.tolist(), pa.list_(pa.float32()))
            table = table.set_column(table.schema.get_field_index(key), key, column)
        return table

    edit(root / DATA, fill)
    return root


def test_per_cent_of_the_range_are_those_of_the_robot_file(
    own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As LeRobot writes the joints of an SO-101, under its own names."""
    root = so101_set(own, [0.0, 50.0, -100.0, 100.0, 25.0, 30.0], last=1.0)
    with pytest.raises(ConfigError, match=r'up to 100 rad: are these degrees .*--units percent'):
        read_lerobot(root, 0, SO101, Reading(other_robot=True))
    said = Reading(other_robot=True, units='percent')
    episode = read_lerobot(root, 0, SO101, said)
    wanted = [0.0, 0.872665, -1.69, 1.6, 0.575, 0.3]
    np.testing.assert_allclose(episode.proprio[0], wanted * 2, atol=1e-5)
    np.testing.assert_allclose(episode.actions[11, 0], 0.0191986, atol=1e-5)
    assert 'joints are taken as -100 to 100 per cent of the ranges in the rob' in caplog.text


def test_degrees_are_taken_where_a_person_says_so(own: Path) -> None:
    """And are not per cent where they go beyond the range."""
    root = so101_set(own, [0.0, 45.0, -90.0, 0.0, 120.0, 100.0])
    with pytest.raises(
        ConfigError, match=r'up to 120 rad: are these degrees \(--units degr.*\)\?$'
    ):
        read_lerobot(root, 0, SO101, Reading(other_robot=True))
    with pytest.raises(
        ConfigError, match=r'roll_joint is 120 in row 0; -100 to 100 per cent .*deg'
    ):
        read_lerobot(root, 0, SO101, Reading(other_robot=True, units='percent'))
    episode = read_lerobot(root, 0, SO101, Reading(other_robot=True, units='degrees'))
    wanted = [0.0, np.pi / 4, -np.pi / 2, 0.0, 2 * np.pi / 3, 1.0]
    np.testing.assert_allclose(episode.proprio[0], wanted * 2, atol=1e-5)


def test_image_that_a_table_does_not_hold_is_told(own: Path) -> None:
    """As numbers, or not at all."""
    features = json.loads((own / 'meta' / 'info.json').read_text())['features']
    key = 'observation.images.cam_high'
    features[key]['dtype'] = 'image'
    edit_info(own, features=features)
    for k, value in enumerate(([[1, 2, 3]], {'bytes': None, 'path': None})):
        held = pa.array([value] * 21)
        edit(
            own / DATA,
            lambda t, k=k, held=held: (t.drop_columns(key) if k else t).append_column(key, held),
        )
        told = (
            r'own: observation.images.cam_high: row 0, 0.00 s: the table holds (list|NoneType) for'
        )
        with pytest.raises(ConfigError, match=told):
            read_lerobot(own, 0, ROBOT)


def test_measured_joints_are_actions_of_sets_without_or_with_others(own: Path) -> None:
    """The last row has none, and its image goes too."""
    wanted = Reading(actions='state-next')
    got = read_lerobot(own, 0, ROBOT, wanted)
    np.testing.assert_array_equal(got.actions, FIRST.proprio[1:])
    np.testing.assert_array_equal(got.proprio, FIRST.proprio[:-1])
    features = json.loads((own / 'meta' / 'info.json').read_text())['features']
    del features['action']
    edit_info(own, features=features)
    np.testing.assert_array_equal(read_lerobot(own, 0, ROBOT, wanted).actions, got.actions)
    with pytest.raises(ConfigError, match=r'no feature action; .*: --actions state-next'):
        read_lerobot(own, 0, ROBOT)
    with pytest.raises(ConfigError, match=r'hold no leader arms, as bags do'):
        read_lerobot(own, 0, ROBOT, Reading(actions='leader'))


def test_row_of_another_length_is_named(own: Path) -> None:
    """A recorder that lost a joint, or a row."""
    for lost, told in ((slice(13), 'has 13 numbers'), (None, 'has nothing')):

        def spoil(table: pa.Table, lost: slice | None = lost) -> pa.Table:
            rows = table['action'].to_pylist()
            rows[5] = None if lost is None else [0.5] * 14
            rows[5] = rows[5] and rows[5][lost]
            return table.set_column(table.column_names.index('action'), 'action', pa.array(rows))

        edit(own / DATA, spoil)
        with pytest.raises(ConfigError, match=rf'action: row 5, 0.10 s, {told}, row 0 has 14'):
            read_lerobot(own, 0, ROBOT)


def test_empty_task_is_none(own: Path) -> None:
    """What a person says is taken; so for a set without tasks."""
    said = Reading(Labels(task='fold the towel'))
    for tasks in ([''], []):
        column = pa.array([tasks] * 2, pa.list_(pa.string()))
        edit(
            own / EPISODES,
            lambda t, c=column: t.set_column(t.column_names.index('tasks'), 'tasks', c),
        )
        edit_info(own)
        os.utime(own / 'meta' / 'info.json', ns=(len(tasks), len(tasks) + 1))
        assert read_lerobot(own, 0, ROBOT, said).task == 'fold the towel'
        with pytest.raises(ConfigError, match='it has no task; give it with --task'):
            read_lerobot(own, 0, ROBOT)


def test_key_that_meta_lacks_is_told_as_such(own: Path) -> None:
    """Its name alone says nothing."""
    info = own / 'meta' / 'info.json'
    kept = json.loads(info.read_text())
    for key in ('total_frames', 'fps'):
        info.write_text(json.dumps({k: v for k, v in kept.items() if k != key}))
        with pytest.raises(
            ConfigError, match=f"own.*: its meta/ lacks '{key}', which is expected"
        ):
            read_lerobot(own, 0, ROBOT)


def test_info_of_a_windows_editor_is_read(own: Path) -> None:
    """It begins with a mark of its encoding."""
    info = own / 'meta' / 'info.json'
    info.write_bytes(b'\xef\xbb\xbf' + info.read_bytes())
    assert len(read_lerobot(own, 0, ROBOT).actions) == 12


@pytest.mark.parametrize('end', ['{"episode_ind', '[' * 100_000])
def test_torn_list_of_episodes_is_named_with_its_line(tmp_path: Path, end: str) -> None:
    """A recorder of version 2 that was killed."""
    meta = tmp_path / 'meta'
    meta.mkdir()
    info = {'codebase_version': 'v2.1', 'features': {}, 'total_episodes': 2, 'total_frames': 2}
    (meta / 'info.json').write_text(json.dumps(info))
    (meta / 'episodes.jsonl').write_text('{"episode_index": 0, "length": 1}\n' + end)
    with pytest.raises(
        ConfigError, match=r'line 2 of meta/episodes.jsonl is no JSON .*file whole'
    ):
        read_meta(tmp_path)


def test_columns_without_names_beside_others_in_another_order_are_refused(own: Path) -> None:
    """They would be taken for those of the left arm."""
    rename_columns(own, RIGHT_FIRST)
    info = json.loads((own / 'meta' / 'info.json').read_text())
    for key in ('action', 'observation.state'):
        features = json.loads(json.dumps(info['features']))
        features[key]['names'] = None
        edit_info(own, features=features)
        with pytest.raises(
            ConfigError, match=f'{key} does not name its joints, .*in meta/info.js'
        ):
            read_lerobot(own, 0, ROBOT)


def test_episode_that_would_show_images_of_another_is_refused(own: Path) -> None:
    """As after sets were put together whose times in the videos were not counted on."""
    place = 'videos/observation.images.cam_high'

    def overlap(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        rows[1][f'{place}/from_timestamp'] = 0.1
        return pa.Table.from_pylist(rows)

    edit(own / EPISODES, overlap)
    os.utime(own / 'meta' / 'info.json', ns=(0, 0))
    for number, other in ((0, 1), (1, 0)):
        wanted = rf'{place}: the images from 0\.100 to 0\.240 s .* those of episode {other};'
        with pytest.raises(ConfigError, match=wanted):
            read_lerobot(own, number, ROBOT)


def test_numbers_of_rows_do_not_count_where_there_are_times(own: Path) -> None:
    """As of sets that were thinned out or put together; LeRobot finds images by the times."""
    numbers = pa.array([2 * row for row in range(21)])

    def thin_out(table: pa.Table) -> pa.Table:
        return table.set_column(table.column_names.index('frame_index'), 'frame_index', numbers)

    edit(own / DATA, thin_out)
    assert_same_episode(read_lerobot(own, 0, ROBOT), FIRST, PSNR_DB)


def test_episode_without_its_place_in_a_video_spoils_no_other(own: Path) -> None:
    """Only it is refused."""
    place = 'videos/observation.images.cam_high'

    def lose(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        rows[1][f'{place}/from_timestamp'] = None
        return pa.Table.from_pylist(rows)

    edit(own / EPISODES, lose)
    os.utime(own / 'meta' / 'info.json', ns=(0, 0))
    assert_same_episode(read_lerobot(own, 0, ROBOT), FIRST, PSNR_DB)
    with pytest.raises(ConfigError):
        read_lerobot(own, 1, ROBOT)


def test_rows_in_another_order_are_refused(own: Path) -> None:
    """Images of a video are in their own; a set need not have times."""
    info = json.loads((own / 'meta' / 'info.json').read_text())
    del info['features']['timestamp']
    edit_info(own, features=info['features'])
    edit(own / DATA, lambda t: t.drop(['timestamp']).take(pa.array([0, 2, 1, *range(3, 21)])))
    with pytest.raises(ConfigError, match=r'row 1, 0\.02 s, has frame_index 2, 1 is expected'):
        read_lerobot(own, 0, ROBOT)
