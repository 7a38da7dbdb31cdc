# SPDX-License-Identifier: Apache-2.0
"""The command that converts: whole results that were read back, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosmos_policy_ros.cli.convert import Convert, run
from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.data.convert import content, verify
from cosmos_policy_ros.data.episodes import list_episodes, read_episode, StoredEpisode
from cosmos_policy_ros.data.hdf5 import write_hdf5
from cosmos_policy_ros.types import ConfigError, Episode
import h5py
import numpy as np
import pytest
from samples import assert_same_episode, ROBOT, sample_episode

FIRST = sample_episode(0)
SECOND = sample_episode(1, 9, source='rollout', success=False)


@pytest.fixture(scope='module')
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two bags, to be read only."""
    folder = tmp_path_factory.mktemp('bags')
    write_bag(folder / 'episode_000007', FIRST, ROBOT)
    write_bag(folder / 'episode_000008', SECOND, ROBOT)
    return folder


def convert(src: Path, dst: Path, **options: Any) -> list[Episode]:
    """Run the command and return what it wrote."""
    assert run(Convert(src, dst, **options)) == 0
    return [read_episode(stored, ROBOT) for stored in list_episodes(dst)]


@pytest.mark.parametrize(
    ('to', 'back', 'psnr_db'),
    [('hdf5', 'bag', np.inf), ('hdf5-cosmos', 'bag', 35.0), ('lerobot', 'hdf5', 35.0)],
)
def test_there_and_back_again(
    bags: Path, tmp_path: Path, to: Any, back: Any, psnr_db: float
) -> None:
    """Labels, joints and actions of both episodes survive two conversions."""
    convert(bags, tmp_path / 'there', to=to)
    first, second = convert(tmp_path / 'there', tmp_path / 'back', to=back)
    assert_same_episode(first, FIRST, psnr_db)
    assert_same_episode(second, SECOND, psnr_db)


def test_rows_become_a_lerobot_data_set_and_rows_again(bags: Path, tmp_path: Path) -> None:
    """HDF5 to LeRobot and on to bags, the default of a data set."""
    convert(bags, tmp_path / 'rows', to='hdf5')
    convert(tmp_path / 'rows', tmp_path / 'set', to='lerobot')
    first, second = convert(tmp_path / 'set', tmp_path / 'bags')
    assert_same_episode(first, FIRST, 35.0)
    assert_same_episode(second, SECOND, 35.0)
    assert {e.format for e in list_episodes(tmp_path / 'bags')} == {'bag'}


def test_bags_become_a_lerobot_data_set_by_default(bags: Path, tmp_path: Path) -> None:
    """Without an option the result is what other trainers read."""
    convert(bags, tmp_path / 'set')
    assert {e.format for e in list_episodes(tmp_path / 'set')} == {'lerobot'}


def test_hdf5_files_are_numbered_from_zero(bags: Path, tmp_path: Path) -> None:
    """ACT's loader opens episode_0 to episode_(n-1)."""
    convert(bags, tmp_path / 'rows', to='hdf5')
    names = sorted(p.name for p in (tmp_path / 'rows').iterdir())
    assert names == ['episode_0.hdf5', 'episode_1.hdf5']


def test_counts_of_every_episode_are_printed(
    bags: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows and frames, in and out."""
    convert(bags, tmp_path / 'rows', to='hdf5')
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if 'episode_0.hdf5' in line)
    assert line.split()[:2] == ['episode_000007', 'episode_0.hdf5']
    assert '12 → 12' in line
    assert line.count('3 → 3') == 3
    assert '2 episodes as hdf5, every count read back' in out


def test_size_of_the_result_is_printed(
    bags: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All files together, and the share of an episode."""
    convert(bags, tmp_path / 'rows', to='hdf5')
    size_mb = sum(p.stat().st_size for p in (tmp_path / 'rows').iterdir()) * 1e-6
    assert f'{size_mb:.1f} MB, {size_mb / 2:.2f} MB per episode' in capsys.readouterr().out


def test_tick_rate_can_be_chosen(bags: Path, tmp_path: Path) -> None:
    """Bags are sampled at the rate; every second row of 50 Hz is one of 25 Hz."""
    first, _ = convert(bags, tmp_path / 'rows', to='hdf5', rate_hz=25.0)
    np.testing.assert_array_equal(first.actions, FIRST.actions[::2])
    assert first.rate_hz == 25.0


def test_labels_that_a_file_lacks_can_be_given(tmp_path: Path) -> None:
    """A task, source, outcome and rate for files that say none; what they say stays."""
    write_hdf5(tmp_path / 'a.hdf5', FIRST, ROBOT)
    with h5py.File(tmp_path / 'a.hdf5', 'a') as file:
        for name in ('source', 'success', 'rate_hz'):
            del file.attrs[name]
    (got,) = convert(
        tmp_path / 'a.hdf5', tmp_path / 'bags', task='other', source='rollout', success='no',
        fps=40.0,
    )  # fmt: skip
    assert (got.task, got.source, got.success) == ('move the cube', 'rollout', False)
    assert got.rate_hz == 40.0


def test_existing_result_is_not_overwritten(bags: Path, tmp_path: Path) -> None:
    """The folder stays as it is."""
    (tmp_path / 'rows').mkdir()
    with pytest.raises(ConfigError, match='rows exists and is not overwritten'):
        run(Convert(bags, tmp_path / 'rows', to='hdf5'))
    assert list((tmp_path / 'rows').iterdir()) == []


@pytest.mark.parametrize('to', ['bag', 'hdf5', 'hdf5-cosmos', 'lerobot'])
def test_missing_stream_ends_the_conversion_and_leaves_nothing(tmp_path: Path, to: Any) -> None:
    """The second episode has no actions; the first does not stay behind alone."""
    (tmp_path / 'src').mkdir()
    for name in ('episode_0.hdf5', 'episode_1.hdf5'):
        write_hdf5(tmp_path / 'src' / name, FIRST, ROBOT)
    with h5py.File(tmp_path / 'src' / 'episode_1.hdf5', 'a') as file:
        del file['action']
    with pytest.raises(ConfigError, match=r'episode_1.hdf5: .*no dataset action'):
        run(Convert(tmp_path / 'src', tmp_path / 'dst', to=to))
    assert [p.name for p in tmp_path.iterdir()] == ['src']


def test_motion_that_no_arm_can_make_is_named_before_anything_is_written(tmp_path: Path) -> None:
    """With episode, row, time, joint and jump; whoever reads the bag would drop the pose."""
    jump = FIRST.proprio.copy()
    jump[5, 0] += 2.0
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(proprio=jump), ROBOT)
    with pytest.raises(
        ConfigError, match=r'a.hdf5: row 5, 0.10 s: .* waist jumped \+1.99 rad in 20 ms'
    ):
        run(Convert(tmp_path / 'a.hdf5', tmp_path / 'dst', to='bag'))
    assert [p.name for p in tmp_path.iterdir()] == ['a.hdf5']


def test_difference_in_counts_is_an_error(tmp_path: Path) -> None:
    """Twelve rows that come back as nine are told with both numbers."""
    write_bag(tmp_path / 'short', sample_episode(0, 9), ROBOT)
    source, short = (
        StoredEpisode('bag', tmp_path / 'long'),
        StoredEpisode('bag', tmp_path / 'short'),
    )
    with pytest.raises(ConfigError, match=r'long was not written well: 12 rows.* became 9 rows'):
        verify([source], [content(FIRST)], [short], ROBOT)


def test_files_in_folders_are_found_and_keep_their_folder_in_the_name(tmp_path: Path) -> None:
    """As data sets of several tasks lie."""
    for task in ('cup', 'towel'):
        (tmp_path / 'src' / task).mkdir(parents=True)
        write_hdf5(tmp_path / 'src' / task / 'episode_0.hdf5', FIRST, ROBOT)
    convert(tmp_path / 'src', tmp_path / 'dst', to='bag')
    assert [e.name for e in list_episodes(tmp_path / 'dst')] == [
        'cup-episode_0',
        'towel-episode_0',
    ]


def torn_among_good(folder: Path) -> Path:
    """Write three files of which the second is cut and the third has no actions."""
    folder.mkdir()
    for number in range(4):
        write_hdf5(folder / f'episode_{number}.hdf5', FIRST, ROBOT)
    torn = folder / 'episode_1.hdf5'
    torn.write_bytes(torn.read_bytes()[:9000])
    with h5py.File(folder / 'episode_2.hdf5', 'a') as file:
        del file['action']
    return folder


def test_all_bad_episodes_are_named_before_the_long_work(tmp_path: Path) -> None:
    """And the option that goes on without them."""
    src = torn_among_good(tmp_path / 'src')
    told = r'2 of 4 episodes cannot be read: .*episode_1.hdf5: .*episode_2.hdf5: .*; --skip-bad'
    with pytest.raises(ConfigError, match=told):
        run(Convert(src, tmp_path / 'dst'))


def test_bad_episodes_are_left_out_if_wanted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also those that only reading finds, each with its reason."""
    src = torn_among_good(tmp_path / 'src')
    with h5py.File(src / 'episode_3.hdf5', 'a') as file:
        file['observations/qpos'][5, 0] = np.nan
    (only,) = convert(src, tmp_path / 'dst', to='lerobot', skip_bad=True)
    assert_same_episode(only, FIRST, 35.0)
    left_out = [r.getMessage() for r in caplog.records if r.getMessage().startswith('left out')]
    assert [name in text for name, text in zip(('_1.', '_2.', '_3.'), left_out, strict=True)] == [
        True
    ] * 3
    assert 'row 5, 0.10 s: follower_left/waist' in left_out[2]


def test_episodes_that_would_have_one_name_are_refused(tmp_path: Path) -> None:
    """A bag is called as its file, without the ending."""
    (tmp_path / 'data').mkdir()
    for name in ('a.hdf5', 'a.h5'):
        write_hdf5(tmp_path / 'data' / name, FIRST, ROBOT)
    with pytest.raises(ConfigError, match='would be called a, as another episode; rename one'):
        run(Convert(tmp_path / 'data', tmp_path / 'bags', to='bag'))
    assert not (tmp_path / 'bags').exists()
