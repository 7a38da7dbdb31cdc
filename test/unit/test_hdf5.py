# SPDX-License-Identifier: Apache-2.0
"""ALOHA HDF5 files of both layouts, ours and those of other recorders."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
import logging
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

from cosmos_policy_ros.data.assemble import Labels
from cosmos_policy_ros.data.hdf5 import check_hdf5, read_hdf5, relabel_hdf5, write_hdf5
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.data.video import count_frames, VideoWriter
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.types import ConfigError
import h5py
import numpy as np
from PIL import Image
import pytest
from samples import assert_same_episode, ROBOT, sample_episode, sample_image

SAID = Reading(Labels(task='fold the shirt', source='demo'))
KEYS = ('cam_high', 'cam_left_wrist', 'cam_right_wrist')


def aloha_file(path: Path, n: int = 6, **changes: Any) -> Path:
    """Write a file as ACT's recorder does, n rows, with datasets added, changed or (None) gone."""
    rows = np.linspace(0.0, 0.1, n)[:, None] + np.zeros((n, 14))
    sets: dict[str, Any] = {
        'observations/qpos': rows,
        'observations/qvel': np.zeros((n, 14)),
        'observations/effort': np.zeros((n, 14)),
        'action': rows + 0.01,
    }
    for i, key in enumerate(KEYS):
        sets[f'observations/images/{key}'] = np.stack([sample_image(10 * i + k) for k in range(n)])
    with h5py.File(path, 'w') as file:
        file.attrs['sim'] = False
        for name, data in {**sets, **changes}.items():
            if data is not None:
                file[name] = data
    return path


def cosmos_file(folder: Path, n: int = 6, frames: int = 6, **attributes: Any) -> Path:
    """Write a file and videos as Cosmos Policy does, at 25 Hz."""
    gone = {f'observations/images/{key}': None for key in KEYS}
    videos = {f'observations/video_paths/{key}': f'episode_0_{key}.mp4' for key in KEYS}
    for key in KEYS:
        with VideoWriter(folder / f'episode_0_{key}.mp4', 25.0, 240, 320) as video:
            for k in range(frames):
                video.write(sample_image(k))
    path = aloha_file(folder / 'episode_0.hdf5', n, **gone, **videos)
    with h5py.File(path, 'a') as file:
        file.attrs.update(attributes)
    return path


def test_pictures_inside_come_back_without_loss(tmp_path: Path) -> None:
    """Every number, pixel, flag and label of the episode is the one written."""
    episode = sample_episode()
    write_hdf5(tmp_path / 'a.hdf5', episode, ROBOT)
    assert_same_episode(read_hdf5(tmp_path / 'a.hdf5', ROBOT), episode)


def test_pictures_in_videos_come_back_nearly_the_same(tmp_path: Path) -> None:
    """Joints and labels are exact, pictures within 35 dB."""
    episode = sample_episode(source='rollout', success=False)
    write_hdf5(tmp_path / 'a.hdf5', episode, ROBOT, videos=True)
    assert_same_episode(read_hdf5(tmp_path / 'a.hdf5', ROBOT), episode, psnr_db=35.0)


def test_unjudged_episode_stays_unjudged(tmp_path: Path) -> None:
    """Nobody's verdict does not become a failure."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(success=None), ROBOT)
    assert read_hdf5(tmp_path / 'a.hdf5', ROBOT).success is None
    with h5py.File(tmp_path / 'a.hdf5') as file:
        assert 'success' not in file.attrs


def test_layout_is_that_of_aloha(tmp_path: Path) -> None:
    """Readers of ALOHA files find what they look for: a picture per row, under ALOHA's names."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(), ROBOT)
    with h5py.File(tmp_path / 'a.hdf5') as file:
        assert set(file['observations/images']) == set(KEYS)
        high = file['observations/images/cam_high']
        assert (high.shape, high.dtype) == ((12, 240, 320, 3), np.uint8)
        assert (file['observations/qpos'].shape, file['action'].shape) == ((12, 14), (12, 14))
        assert file['action'].dtype == np.float32
        assert (bool(file.attrs['sim']), bool(file.attrs['compress'])) == (True, False)


def test_hand_that_is_displaced_has_other_measured_numbers_than_actions(tmp_path: Path) -> None:
    """Seven displacements, nine measured numbers; no limit of a joint holds for either."""
    hand = read_robot(robot_file('libero_panda'), simulated=True)
    images = {c.name: sample_image(0)[None] for c in hand.cameras}
    jumps = np.linspace(-1.0, 1.0, 12)[:, None] * np.array([1.0, -1.0] * 6)[:, None]
    episode = sample_episode(
        rate_hz=20.0,
        stamps_ns=np.arange(12) * 50_000_000,
        images=images,
        image_index=dict.fromkeys(images, np.zeros(12, np.int64)),
        proprio=np.repeat(jumps, 9, axis=1).astype(np.float32),
        actions=np.repeat(jumps, 7, axis=1).astype(np.float32),
    )
    write_hdf5(tmp_path / 'a.hdf5', episode, hand)
    assert_same_episode(read_hdf5(tmp_path / 'a.hdf5', hand), episode)
    with h5py.File(tmp_path / 'a.hdf5', 'a') as file:
        assert file.attrs['sim']
        file['observations/qpos'][3, 8] = np.nan
    with pytest.raises(ConfigError, match=r'proprio must be finite, .* 0\.15 s: quat_w'):
        read_hdf5(tmp_path / 'a.hdf5', hand)
    with h5py.File(tmp_path / 'a.hdf5', 'a') as file:
        rows = file['observations/qpos'][()][:, :7]
        del file['observations/qpos']
        file['observations/qpos'] = rows
    with pytest.raises(ConfigError, match=r'proprio of shape \(12, 7\) do not fit the 9 numbers'):
        read_hdf5(tmp_path / 'a.hdf5', hand)


def test_velocities_nobody_measured_are_not_written(tmp_path: Path) -> None:
    """No zeros stand in for a stream that an episode does not hold."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(), ROBOT)
    with h5py.File(tmp_path / 'a.hdf5') as file:
        assert {'qvel', 'effort'}.isdisjoint(file['observations'])


def test_layout_is_that_of_cosmos_policy(tmp_path: Path) -> None:
    """Videos lie beside the file under relative names, with a frame per row."""
    episode = sample_episode()
    write_hdf5(tmp_path / 'episode_0.hdf5', episode, ROBOT, videos=True)
    with h5py.File(tmp_path / 'episode_0.hdf5') as file:
        name = file['observations/video_paths/cam_high'][()].decode()
        assert 'images' not in file['observations']
        assert file.attrs['task_description'] == 'move the cube'
        assert bool(file.attrs['success']) is True
        steps = file['relative_action'][()]
    assert name == 'episode_0_cam_high.mp4'
    assert count_frames(tmp_path / name) == 12
    np.testing.assert_array_equal(steps[2], episode.actions[3] - episode.actions[2])
    np.testing.assert_array_equal(steps[11], steps[10])


def test_file_of_another_recorder_is_read(tmp_path: Path) -> None:
    """Without our datasets every row has its own frame, at the control rate of the robot."""
    path = aloha_file(tmp_path / 'episode_0.hdf5')
    episode = read_hdf5(path, ROBOT, SAID)
    assert (episode.rate_hz, episode.task, episode.success) == (50.0, 'fold the shirt', None)
    assert episode.image_index['left_wrist'].tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(episode.images['left_wrist'][3], sample_image(13))
    np.testing.assert_allclose(episode.actions[5], 0.11, rtol=1e-6)
    assert episode.expert.all()


def test_velocity_is_not_needed(tmp_path: Path) -> None:
    """Neither qvel nor effort has to be there."""
    gone = {'observations/qvel': None, 'observations/effort': None}
    assert len(read_hdf5(aloha_file(tmp_path / 'a.hdf5', **gone), ROBOT, SAID).actions) == 6


def test_jpeg_rows_are_read(tmp_path: Path) -> None:
    """Pictures that the recorder compressed and padded with zeros."""
    sets: dict[str, Any] = {}
    for key in KEYS:
        rows = np.zeros((6, 60_000), np.uint8)
        for k in range(6):
            file = BytesIO()
            Image.fromarray(sample_image(k)).save(file, 'JPEG', quality=95)
            rows[k, : file.tell()] = np.frombuffer(file.getvalue(), np.uint8)
        sets[f'observations/images/{key}'] = rows
    episode = read_hdf5(aloha_file(tmp_path / 'a.hdf5', **sets), ROBOT, SAID)
    red = episode.images['high'][2].astype(int) - sample_image(2)
    assert np.abs(red).mean() < 3


def test_rollout_of_cosmos_policy_is_read(tmp_path: Path) -> None:
    """Only its rollouts name a policy; the rate is that of the videos."""
    path = cosmos_file(tmp_path, policy_name='2b', success=False, task_description='bag it')
    episode = read_hdf5(path, ROBOT)
    assert (episode.source, episode.task, episode.success) == ('rollout', 'bag it', False)
    assert episode.rate_hz == 25.0


@pytest.mark.parametrize('frames', [5, 7])
def test_video_of_another_length_is_refused(tmp_path: Path, frames: int) -> None:
    """A frame too few or too many shifts pictures against joints."""
    path = cosmos_file(tmp_path, frames=frames)
    with pytest.raises(ConfigError, match=f'cam_high.mp4 has {frames} frames, .* has 6 rows'):
        read_hdf5(path, ROBOT, SAID)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'observations/images/cam_high': None}, 'no camera cam_high in .*it has .*cam_left'),
        ({'action': None}, 'no dataset action'),
        ({'observations/qpos': None}, 'no dataset observations/qpos'),
        ({'action': np.zeros((5, 14))}, '5 rows of actions and 6 of measured joints'),
        ({'action': np.full((6, 14), np.nan)}, 'actions must be finite, got 84 NaN'),
        ({'action': np.zeros((6, 16))}, r'shape \(6, 16\) do not fit the 14 joints'),
        ({'observations/images/cam_high': np.zeros((5, 9, 9, 3), np.uint8)}, 'not hold 6 imag'),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Nothing is put in its place, and the line begins with the episode."""
    path = aloha_file(tmp_path / 'a.hdf5', **changes)
    with pytest.raises(ConfigError, match=f'episode .*a.hdf5: .*{message}'):
        read_hdf5(path, ROBOT, SAID)


def test_missing_task_says_how_to_give_it(tmp_path: Path) -> None:
    """ALOHA files name no task; one is not made up."""
    path = aloha_file(tmp_path / 'a.hdf5')
    with pytest.raises(ConfigError, match='has no task; give it with --task'):
        read_hdf5(path, ROBOT, Reading(Labels(source='demo')))


def test_file_of_another_robot_is_refused(tmp_path: Path) -> None:
    """Both names are told."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(), replace(ROBOT, name='other'))
    with pytest.raises(
        ConfigError, match="of robot 'other', the robot file is of 'aloha_sim'; give the"
    ):
        read_hdf5(tmp_path / 'a.hdf5', ROBOT)


def test_camera_the_robot_lacks_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A stream that does not come along is named."""
    low = {'observations/images/cam_low': np.zeros((6, 4, 4, 3), np.uint8)}
    with caplog.at_level(logging.WARNING):
        read_hdf5(aloha_file(tmp_path / 'a.hdf5', **low), ROBOT, SAID)
    assert "cameras ['cam_low'] are not in the robot file and left out" in caplog.text


@pytest.mark.parametrize('kept', [0.0, 0.3, 0.9])
def test_truncated_file_is_named(tmp_path: Path, kept: float) -> None:
    """A file cut at any place is one clear error."""
    path = aloha_file(tmp_path / 'torn.hdf5')
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(ConfigError, match=r'episode .*torn.hdf5'):
        read_hdf5(path, ROBOT, SAID)


def test_truncated_video_is_named(tmp_path: Path) -> None:
    """An MP4 without its end cannot be opened."""
    path = cosmos_file(tmp_path)
    video = tmp_path / 'episode_0_cam_high.mp4'
    video.write_bytes(video.read_bytes()[:3000])
    with pytest.raises(ConfigError, match=r'episode .*episode_0.hdf5: .*cam_high.mp4'):
        read_hdf5(path, ROBOT, SAID)


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    """A second writer is refused and the file stays."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(), ROBOT)
    with pytest.raises(FileExistsError):
        write_hdf5(tmp_path / 'a.hdf5', sample_episode(1), ROBOT)
    assert_same_episode(read_hdf5(tmp_path / 'a.hdf5', ROBOT), sample_episode())


def test_failed_writing_leaves_nothing(tmp_path: Path) -> None:
    """A picture that no video can hold ends in an empty folder."""
    odd = {c.name: np.zeros((3, 9, 9, 3), np.uint8) for c in ROBOT.cameras}
    with pytest.raises(ConfigError, match='a video needs even sides, got 9x9'):
        write_hdf5(tmp_path / 'a.hdf5', sample_episode(images=odd), ROBOT, videos=True)
    assert list(tmp_path.iterdir()) == []


WRITE = """
import resource, signal, sys
from pathlib import Path
from cosmos_policy_ros.data.hdf5 import write_hdf5
from cosmos_policy_ros.outputs import whole_folder
from cosmos_policy_ros.types import ConfigError
from samples import ROBOT, sample_episode

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    with whole_folder(Path(sys.argv[1])) as folder:
        folder.mkdir()
        write_hdf5(folder / 'episode.hdf5', sample_episode(), ROBOT)
except ConfigError as error:
    print(error)
"""


def test_a_full_disk_ends_the_process_with_one_line(tmp_path: Path) -> None:
    """HDF5 itself would take the process down when it is over."""
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, '-c', WRITE, tmp_path / 'out'],
        capture_output=True,
        text=True,
        env=os.environ | {'PYTHONPATH': path},
        check=True,
    )
    assert 'out: the disk is full after 0.0 MB of it' in done.stdout
    assert done.stderr == ''
    assert not list(tmp_path.iterdir())


LEFT_RED = np.zeros((240, 320, 3), np.uint8)
LEFT_RED[:, :160], LEFT_RED[:, 160:] = (200, 0, 0), (0, 0, 200)


def jpeg(pixels: np.ndarray) -> bytes:
    """Return an RGB image as a standard JPEG file."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, 'JPEG', quality=95)
    return file.getvalue()


def jpeg_rows(n: int = 6, pixels: np.ndarray = LEFT_RED) -> np.ndarray:
    """Return (n, bytes) padded JPEG rows."""
    row = np.zeros(60_000, np.uint8)
    row[: len(jpeg(pixels))] = np.frombuffer(jpeg(pixels), np.uint8)
    return np.tile(row, (n, 1))


def cameras(data: Any) -> dict[str, Any]:
    """Return the same images for every camera."""
    return {f'observations/images/{key}': data for key in KEYS}


def is_left_red(image: Any) -> bool:
    """Whether the left half is red and the right one blue."""
    return bool(image[120, 40, 0] > 150 > image[120, 40, 2] and image[120, 280, 2] > 150)


def test_colours_of_alohas_recorder_are_exchanged_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It hands RGB to an encoder that expects BGR; ``compress`` and ``compress_len`` mark it."""
    rows = jpeg_rows(pixels=LEFT_RED[:, :, ::-1])
    path = aloha_file(tmp_path / 'a.hdf5', **cameras(rows), compress_len=np.zeros((3, 6)))
    with h5py.File(path, 'a') as file:
        file.attrs['compress'] = True
    assert is_left_red(read_hdf5(path, ROBOT, SAID).images['high'][3])
    assert 'colours of its JPEG rows are taken as blue, green, red, as ALOHA rec' in caplog.text
    assert '--images rgb' in caplog.text
    assert not is_left_red(read_hdf5(path, ROBOT, replace(SAID, images='rgb')).images['high'][3])


def test_colours_of_others_are_taken_as_standard_unless_a_person_says_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """JPEG rows and raw pixels alike, and one line says which was taken."""
    usual = aloha_file(tmp_path / 'a.hdf5', **cameras(jpeg_rows()))
    assert is_left_red(read_hdf5(usual, ROBOT, SAID).images['high'][3])
    assert 'taken as red, green, blue, as is usual; where red looks blue: --imag' in caplog.text
    raw = aloha_file(tmp_path / 'b.hdf5', **cameras(np.stack([LEFT_RED[:, :, ::-1]] * 6)))
    assert is_left_red(read_hdf5(raw, ROBOT, replace(SAID, images='bgr')).images['high'][3])
    assert 'raw pixels are taken as blue, green, red, as --images says' in caplog.text


def test_colours_against_the_mark_of_a_recorder_are_told_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of ALOHA's recorder and of ours: a person may know better, or have one option for all."""
    path = aloha_file(tmp_path / 'a.hdf5', **cameras(jpeg_rows()), compress_len=np.zeros((3, 6)))
    with h5py.File(path, 'a') as file:
        file.attrs['compress'] = True
    assert is_left_red(read_hdf5(path, ROBOT, replace(SAID, images='rgb')).images['high'][3])
    told = 'JPEG rows are taken as red, green, blue, as --images says, though ALOHA recorders '
    assert told + 'with compress_len write blue, green, red; where' in caplog.text
    write_hdf5(tmp_path / 'b.hdf5', sample_episode(), ROBOT)
    read_hdf5(tmp_path / 'b.hdf5', ROBOT, Reading(images='bgr'))
    told = 'raw pixels are taken as blue, green, red, as --images says, though this package '
    assert told + 'writes red, green, blue; where' in caplog.text


def test_colours_of_videos_beside_a_file_are_exchanged_where_a_person_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of recorders that hand on what their camera library leaves."""
    path = cosmos_file(tmp_path)
    usual = read_hdf5(path, ROBOT, SAID).images['high'][3]
    assert 'colours' not in caplog.text
    swapped = read_hdf5(path, ROBOT, replace(SAID, images='bgr')).images['high'][3]
    np.testing.assert_array_equal(swapped, usual[:, :, ::-1])
    assert 'colours of its videos are taken as blue, green, red, as --images says;' in caplog.text


def test_our_own_files_need_no_word_about_colours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Their order is known."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(), ROBOT)
    read_hdf5(tmp_path / 'a.hdf5', ROBOT)
    assert caplog.text == ''


@pytest.mark.parametrize('kind', ['strings', 'opaque', 'variable length'])
def test_jpeg_files_of_any_storage_are_read(tmp_path: Path, kind: str) -> None:
    """Byte strings of a fixed length, and arrays of bytes of any length."""
    path, data = aloha_file(tmp_path / 'a.hdf5', **cameras(None)), jpeg(LEFT_RED)
    with h5py.File(path, 'a') as file:
        for key in KEYS:
            name = f'observations/images/{key}'
            if kind == 'strings':
                file[name] = np.array([data] * 6, dtype=f'S{len(data)}')
                continue
            if kind == 'opaque':
                file[name] = np.array([np.void(data)] * 6)
                continue
            rows = file.create_dataset(name, (6,), h5py.vlen_dtype(np.uint8))
            for k in range(6):
                rows[k] = np.frombuffer(data, np.uint8)
    assert is_left_red(read_hdf5(path, ROBOT, SAID).images['left_wrist'][5])


def test_blank_image_is_named_with_camera_row_and_time(tmp_path: Path) -> None:
    """A frame that the recorder lost."""
    rows = jpeg_rows()
    rows[4] = 0
    path = aloha_file(tmp_path / 'a.hdf5', **{**cameras(jpeg_rows()), **cameras(rows)})
    with pytest.raises(ConfigError, match=r'a.hdf5: .*cam_high: row 4, 0.08 s: it is empty'):
        read_hdf5(path, ROBOT, SAID)


def test_padding_behind_the_end_is_named_and_dropped_if_wanted(tmp_path: Path) -> None:
    """Recorders with a fixed length fill up with zeros."""
    rows = np.tile(np.float64([0, -0.96, 1.16, 0, -0.3, 0, 0.4]), (6, 2))
    rows[4:] = 0
    path = aloha_file(tmp_path / 'a.hdf5', action=rows, **{'observations/qpos': rows})
    told = r'row 4, 0.08 s: .* elbow jumped -1.16 rad in 20 ms; .* --drop padding'
    with pytest.raises(ConfigError, match=told):
        read_hdf5(path, ROBOT, SAID)
    episode = read_hdf5(path, ROBOT, replace(SAID, drop=('padding',)))
    assert len(episode.actions) == len(episode.images['high']) == 4


def test_base_behind_the_arms_is_dropped_if_wanted(tmp_path: Path) -> None:
    """16 numbers of a mobile ALOHA."""
    wide = np.zeros((6, 16))
    sets = dict.fromkeys(('action', 'observations/qpos', 'observations/qvel'), wide)
    path = aloha_file(tmp_path / 'a.hdf5', **sets)
    with pytest.raises(ConfigError, match=r'proprio of shape \(6, 16\) do not fit .*--drop base'):
        read_hdf5(path, ROBOT, SAID)
    episode = read_hdf5(path, ROBOT, replace(SAID, drop=('base',)))
    assert episode.actions.shape == (6, 14)
    assert episode.velocity is not None


def test_columns_that_do_not_come_along_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line, with their shapes, and with words that may be an instruction."""
    path = aloha_file(tmp_path / 'a.hdf5', base_action=np.zeros((6, 2)))
    with h5py.File(path, 'a') as file:
        file.attrs['language_instruction'] = 'fold the blue one'
    read_hdf5(path, ROBOT, SAID)
    told = 'do not hold it: base_action (6, 2), attribute language_instruction'
    assert f'left out, since episodes {told}' in caplog.text


def test_images_are_read_when_they_are_looked_at(tmp_path: Path) -> None:
    """One, some, or in order; the file may be gone for whoever looks at none."""
    episode = read_hdf5(aloha_file(tmp_path / 'a.hdf5'), ROBOT, SAID)
    high = episode.images['high']
    assert not isinstance(high, np.ndarray)
    np.testing.assert_array_equal(high[-1], sample_image(5))
    np.testing.assert_array_equal(high[2:4][1], sample_image(3))
    np.testing.assert_array_equal(np.stack([*high[[1, 5]]]), [sample_image(1), sample_image(5)])


@pytest.mark.parametrize('videos', [False, True])
def test_images_that_stand_still_while_the_arms_move_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, videos: bool
) -> None:
    """Raw pixels and videos, when they are read; at rest an image may stay the same."""
    n = 60
    ticks = np.arange(n)
    rows = (0.3 + 0.5 * np.maximum(ticks - 30, 0)[:, None] / n * np.ones(14)).astype(np.float32)
    images = {c.name: np.full((1, 240, 320, 3), 90, np.uint8) for c in ROBOT.cameras}
    episode = replace(
        sample_episode(0, n), proprio=rows, actions=rows, images=images,
        image_index={name: np.zeros(n, np.int64) for name in images},
    )  # fmt: skip
    write_hdf5(tmp_path / 'a.hdf5', episode, ROBOT, videos=videos)
    with h5py.File(tmp_path / 'a.hdf5', 'r+') as file:
        del file['observations/image_index']  # as of another recorder, with an image per row
    got = read_hdf5(tmp_path / 'a.hdf5', ROBOT)
    assert 'frozen' not in caplog.text
    for row in range(n):  # one by one, as writers take them
        assert got.images['high'][row].shape == (240, 320, 3)
    assert 'cam_high: shows the same image for 1.18 s from 0.00 s on while the arms' in caplog.text


def test_labels_are_what_their_text_says(tmp_path: Path) -> None:
    """``bool('False')`` is true, and text of a fixed length comes as bytes."""
    path = aloha_file(tmp_path / 'a.hdf5')
    with h5py.File(path, 'a') as file:
        file.attrs['success'] = 'False'
        file.attrs['task_description'] = np.bytes_('bag it')
        file.attrs['robot'] = np.array([ROBOT.name.encode()])
    episode = read_hdf5(path, ROBOT, SAID)
    assert (episode.task, episode.success) == ('bag it', False)
    with h5py.File(path, 'a') as file:
        file.attrs['success'] = 'nearly'
    with pytest.raises(ConfigError, match="success: expected 'true' or 'false', got 'nearly'"):
        read_hdf5(path, ROBOT, SAID)


def test_gripper_in_per_cent_is_refused(tmp_path: Path) -> None:
    """Taken as openings, it would be wide open in every row."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(), ROBOT)
    with h5py.File(tmp_path / 'a.hdf5', 'a') as file:
        file['action'][2:, 13] *= 100.0
    with pytest.raises(
        ConfigError, match=r'actions: .*right/gripper is \d+.*in row 2, 0.04 s; openings of'
    ):
        read_hdf5(tmp_path / 'a.hdf5', ROBOT)


def test_labels_are_written_all_or_none(tmp_path: Path) -> None:
    """A file that is written into and left half-way cannot be opened any more."""
    path = aloha_file(tmp_path / 'a.hdf5')
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r'episode .*a.hdf5'):
        relabel_hdf5(path, {'success': True, 'note': object()})
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ['a.hdf5']


def test_rate_that_nothing_says_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At 25 rows per second, taken for 50, an arm would be twice as fast."""
    path = aloha_file(tmp_path / 'a.hdf5')
    assert read_hdf5(path, ROBOT, SAID).rate_hz == 50.0
    assert 'how many rows it has per second; taken as 50, the control rate' in caplog.text
    caplog.clear()
    (tmp_path / 'b').mkdir()
    path = aloha_file(tmp_path / 'b' / 'a.hdf5')
    said = Reading(replace(SAID.labels, rate_hz=25.0))
    assert read_hdf5(path, ROBOT, said).rate_hz == 25.0
    assert 'rows it has per second' not in caplog.text


def test_source_of_another_meaning_is_asked_for(tmp_path: Path) -> None:
    """Other recorders name the device by that word."""
    path = aloha_file(tmp_path / 'a.hdf5')
    with h5py.File(path, 'a') as file:
        file.attrs['source'] = 'spacemouse'
    assert read_hdf5(path, ROBOT, SAID).source == 'demo'
    with pytest.raises(ConfigError, match='it has no source; give it with --source'):
        read_hdf5(path, ROBOT, Reading(Labels(task='fold the shirt')))


def test_option_that_is_not_taken_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a file says itself comes first, and whoever says something else learns it."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(), ROBOT)
    said = Reading(Labels('fold the shirt', 'rollout', True, 25.0))
    episode = read_hdf5(tmp_path / 'a.hdf5', ROBOT, said)
    assert (episode.task, episode.source, episode.rate_hz) == ('move the cube', 'demo', 50.0)
    lines = [record.getMessage().partition(': ')[2] for record in caplog.records]
    assert lines == [
        '--task fold the shirt is not taken: it says move the cube itself, see episodes relabel',
        '--source rollout is not taken: it says demo itself, see episodes relabel',
        '--fps 25.0 is not taken: it says 50.0 itself, see episodes relabel',
    ]


def test_file_of_another_layout_is_told_with_what_it_has(tmp_path: Path) -> None:
    """As robomimic and LIBERO write them."""
    with h5py.File(tmp_path / 'demo.hdf5', 'w') as file:
        file['data/demo_0/actions'] = np.zeros((4, 7))
    told = r"no dataset observations/qpos; it has \['data'\], and the layout of ALOHA is expected"
    with pytest.raises(ConfigError, match=told):
        check_hdf5(tmp_path / 'demo.hdf5')


def test_joints_in_degrees_are_refused_with_what_they_may_be(tmp_path: Path) -> None:
    """They move faster than any arm, and farther than any joint turns."""
    rows = np.tile(np.linspace(0.0, 40.0, 6)[:, None], (1, 14))
    rows[:, [6, 13]] = 0.5
    path = aloha_file(tmp_path / 'a.hdf5', **dict.fromkeys(('observations/qpos', 'action'), rows))
    told = r'waist is 8 in row 1, 0.02 s; radians .*go up to 40 rad: are these degrees \(--un'
    with pytest.raises(ConfigError, match=told):
        read_hdf5(path, ROBOT, SAID)
    rows[:, [6, 13]] = 50.0
    slow = replace(SAID.labels, rate_hz=5.0)
    path = aloha_file(tmp_path / 'b.hdf5', **dict.fromkeys(('observations/qpos', 'action'), rows))
    episode = read_hdf5(path, ROBOT, replace(SAID, labels=slow, units='degrees'))
    np.testing.assert_allclose(episode.actions[5, [0, 6]], [0.6981317, 0.5], atol=1e-6)


def test_image_of_another_size_is_named_with_row_and_time(tmp_path: Path) -> None:
    """A camera that was restarted in another mode."""
    rows = jpeg_rows()
    small = jpeg(LEFT_RED[::2, ::2])
    rows[3] = 0
    rows[3, : len(small)] = np.frombuffer(small, np.uint8)
    path = aloha_file(tmp_path / 'a.hdf5', **cameras(rows))
    told = r'row 3, 0.06 s, has \(120, 160\) pixels, row 0 \(240, 320\)'
    with pytest.raises(ConfigError, match=told):
        read_hdf5(path, ROBOT, SAID)


def test_camera_of_another_name_is_mapped(tmp_path: Path) -> None:
    """By its key in the file."""
    images = np.stack([sample_image(k) for k in range(6)])
    moved = {'observations/images/cam_high': None, 'observations/images/front': images}
    path = aloha_file(tmp_path / 'a.hdf5', **moved)
    with pytest.raises(ConfigError, match=r"no camera cam_high in .*'front'.*--map NAME=CAMERA"):
        read_hdf5(path, ROBOT, SAID)
    said = replace(SAID, topics={ROBOT.cameras[0].topic: 'front'})
    np.testing.assert_array_equal(read_hdf5(path, ROBOT, said).images['high'][2], sample_image(2))


def test_measured_joints_are_actions_of_files_without_or_with_others(tmp_path: Path) -> None:
    """Robots that were moved by hand; changes of a joint are no targets."""
    path = aloha_file(tmp_path / 'a.hdf5', action=None)
    with pytest.raises(ConfigError, match=r'no dataset action; .*: --actions state-next'):
        read_hdf5(path, ROBOT, SAID)
    changes = aloha_file(tmp_path / 'b.hdf5', action=np.full((6, 14), 0.9))
    wanted = replace(SAID, actions='state-next')
    for each in (path, changes):
        check_hdf5(each, wanted)
        episode = read_hdf5(each, ROBOT, wanted)
        np.testing.assert_allclose(episode.actions[:, 0], np.linspace(0.02, 0.1, 5), atol=1e-7)
        np.testing.assert_allclose(episode.proprio[:, 0], np.linspace(0.0, 0.08, 5), atol=1e-7)
        assert [len(images) for images in episode.images.values()] == [5, 5, 5]
    with pytest.raises(
        ConfigError, match=r'hold no leader arms, as bags do: --actions state-next'
    ):
        read_hdf5(path, ROBOT, replace(SAID, actions='leader'))


def test_file_without_rows_is_told(tmp_path: Path) -> None:
    """Raw images and files alike."""
    empty = dict.fromkeys(('action', 'observations/qpos', 'observations/qvel'), np.zeros((0, 14)))
    for images in (np.zeros((0, 240, 320, 3), np.uint8), np.zeros((0, 9), np.uint8)):
        path = aloha_file(tmp_path / 'a.hdf5', **empty, **cameras(images))
        with pytest.raises(ConfigError, match=r'a.hdf5: it has no rows, as of a recorder'):
            read_hdf5(path, ROBOT, SAID)


def test_empty_labels_are_none(tmp_path: Path) -> None:
    """What a person says is taken in their place."""
    path = aloha_file(tmp_path / 'a.hdf5')
    with h5py.File(path, 'a') as file:
        file.attrs['task_description'] = h5py.Empty('S10')
        file.attrs['success'] = h5py.Empty('f')
        file.attrs['source'] = ' '
    assert read_hdf5(path, ROBOT, SAID).task == 'fold the shirt'
    with h5py.File(path, 'a') as file:
        file.attrs['task_description'] = ''
    with pytest.raises(ConfigError, match='it has no task; give it with --task'):
        read_hdf5(path, ROBOT, Reading(Labels(source='demo')))


@pytest.mark.parametrize('kind', ['S4', None])
def test_text_of_older_programs_is_read(tmp_path: Path, kind: str | None) -> None:
    """In Latin-1, of a fixed length or any."""
    path = aloha_file(tmp_path / 'a.hdf5')
    with h5py.File(path, 'a') as file:
        dtype = np.dtype(kind) if kind else h5py.string_dtype('ascii')
        file.attrs.create('operator_id', b'Ren\xe9', dtype=dtype)
        file.attrs.create('comment', b'caf\xe9', dtype=dtype)
    assert read_hdf5(path, ROBOT, SAID).circumstances.operator_id == 'René'


def test_rate_under_the_name_of_others_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A number; a word is left out as before."""
    path = aloha_file(tmp_path / 'a.hdf5')
    for fps, rate_hz in ((30, 30.0), ('thirty', 50.0)):
        with h5py.File(path, 'a') as file:
            file.attrs['fps'] = fps
        assert read_hdf5(path, ROBOT, SAID).rate_hz == rate_hz
        assert ('rows it has per second' in caplog.text) == (rate_hz == 50.0)


@pytest.mark.parametrize('name', ['rate_hz', 'start_ns'])
def test_number_that_is_a_word_is_told_with_the_name_of_its_attribute(
    tmp_path: Path, name: str
) -> None:
    """The one who wrote the file finds it there."""
    path = aloha_file(tmp_path / 'a.hdf5')
    with h5py.File(path, 'a') as file:
        file.attrs[name] = 'fast'
    with pytest.raises(ConfigError, match=f"a.hdf5: attribute {name} is 'fast', a number is exp"):
        read_hdf5(path, ROBOT, SAID)


def test_images_of_another_layout_are_told_with_those_that_are_read(tmp_path: Path) -> None:
    """Colours first, fractions, and a group for each camera."""
    for data in (np.zeros((6, 3, 240, 320), np.uint8), np.zeros((6, 240, 320, 3), np.float32)):
        path = aloha_file(tmp_path / 'a.hdf5', **cameras(data))
        told = (
            r'does not hold 6 images; expected are pixels, \(6, height, width, 3\) uint8, or a J'
        )
        with pytest.raises(ConfigError, match=told):
            read_hdf5(path, ROBOT, SAID)
    gone = cameras(None)
    inside = {f'{name}/color': np.zeros((6, 240, 320, 3), np.uint8) for name in gone}
    path = aloha_file(tmp_path / 'a.hdf5', **gone, **inside)
    told = (
        r"no dataset observations/images/cam_high; /observations/images/cam_high has \['color'\]"
    )
    with pytest.raises(ConfigError, match=told):
        read_hdf5(path, ROBOT, SAID)


def test_names_of_videos_in_arrays_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of one text each, and are videos like others; numbers are told."""
    path = cosmos_file(tmp_path)
    with h5py.File(path, 'a') as file:
        names = file['observations/video_paths']
        for key in KEYS:
            del names[key]
            names[key] = np.array([f'episode_0_{key}.mp4'], dtype=h5py.string_dtype())
    assert len(read_hdf5(path, ROBOT, SAID).images['high']) == 6
    assert 'colours' not in caplog.text
    with h5py.File(path, 'a') as file:
        del file['observations/video_paths/cam_high']
        file['observations/video_paths/cam_high'] = 3
    with pytest.raises(ConfigError, match='cam_high is 3, the name of a video beside the file is'):
        read_hdf5(path, ROBOT, SAID)


def test_base_is_dropped_where_rows_have_it_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of 18 columns nobody knows which four are too many."""
    wide = np.zeros((6, 18))
    path = aloha_file(tmp_path / 'a.hdf5', **{'observations/qpos': wide, 'action': wide})
    with pytest.raises(ConfigError, match=r'proprio of shape \(6, 18\) do not fit the 14 joints'):
        read_hdf5(path, ROBOT, replace(SAID, drop=('base',)))
    read_hdf5(aloha_file(tmp_path / 'b.hdf5'), ROBOT, replace(SAID, drop=('base',)))
    assert 'of a base, are left out' not in caplog.text


def test_mark_of_a_recorder_holds_for_files_of_any_length(tmp_path: Path) -> None:
    """Its rows that were packed anew, without the zeros, are those of before."""
    none = {f'observations/images/{key}': None for key in KEYS}
    path = aloha_file(tmp_path / 'a.hdf5', **none, compress_len=np.zeros((3, 6)))
    with h5py.File(path, 'a') as file:
        file.attrs['compress'] = True
        for key in none:
            data = file.create_dataset(key, 6, h5py.vlen_dtype(np.uint8))
            for row in range(6):
                data[row] = np.frombuffer(jpeg(LEFT_RED[:, :, ::-1]), np.uint8)
    got = np.asarray(read_hdf5(path, ROBOT, SAID).images['high'], int)
    assert np.abs(got[2] - LEFT_RED).mean() < 6


def test_one_image_is_not_that_of_two_cameras(tmp_path: Path) -> None:
    """Where a person gives one camera the name of another and leaves that one its own."""
    path = aloha_file(tmp_path / 'a.hdf5')
    said = replace(SAID, topics={'/high/image_raw': 'cam_left_wrist'})
    with pytest.raises(ConfigError, match='high and left_wrist would both be camera cam_left_w'):
        read_hdf5(path, ROBOT, said)


def test_joints_in_degrees_are_refused_however_slow_the_arm_is(tmp_path: Path) -> None:
    """No joint turns by 55 radians."""
    rows = np.rad2deg(np.tile([0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.0], (6, 2)))
    path = aloha_file(tmp_path / 'a.hdf5', **{'observations/qpos': rows, 'action': rows})
    wanted = r'proprio: .*shoulder is -55\.0.* radians are expected; its .*--units degrees'
    with pytest.raises(ConfigError, match=wanted):
        read_hdf5(path, ROBOT, SAID)


def test_folder_that_is_named_by_the_time_takes_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is before a colon is a protocol to the library of videos."""
    monkeypatch.chdir(tmp_path)
    folder = Path('2025-01-01T10:30:00')
    folder.mkdir()
    write_hdf5(folder / 'a.hdf5', sample_episode(), ROBOT, videos=True)
    assert_same_episode(read_hdf5(folder / 'a.hdf5', ROBOT), sample_episode(), psnr_db=35.0)
