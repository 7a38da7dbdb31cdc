# SPDX-License-Identifier: Apache-2.0
"""Episodes are listed, judged and put in order without writing again what stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.cli.episodes import Episodes, run
from cosmos_policy_ros.data.bags.custom import write_custom
from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.bags.series import read_commands
from cosmos_policy_ros.data.episodes import list_episodes, read_episode
from cosmos_policy_ros.data.hdf5 import write_hdf5
from cosmos_policy_ros.data.lerobot.writer import LeRobotWriter
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.types import ConfigError, Episode
import h5py
import numpy as np
import other_recorders
from other_recorders import JOINT_STATE, recording, write_bag_of
import pyarrow.parquet as pq
import pytest
from samples import assert_same_episode, ROBOT, sample_episode, START_NS

REST, MOVE = 50, 25  # ticks at 50 Hz


def resting(seed: int = 0, **changes: Any) -> Episode:
    """Return 1 s of rest, half a second of motion and 1 s of rest, with 5 images a second."""
    n = 2 * REST + MOVE
    ticks = np.arange(n)
    images = np.stack([np.full((240, 320, 3), 10 * k + seed, np.uint8) for k in range(13)])
    episode = sample_episode(seed, 1)
    way = np.clip(np.arange(n) - REST, 0, MOVE) / MOVE
    rows = (0.3 + 0.5 * way[:, None] * np.ones(14)).astype(np.float32)
    return replace(
        episode,
        stamps_ns=START_NS + ticks * 20_000_000,
        images=dict.fromkeys(episode.images, images),
        image_index=dict.fromkeys(episode.images, ticks // 10),
        proprio=rows,
        actions=rows,
        expert=ticks % 5 != 3,
        human_intervention=ticks % 7 > 4,
        **changes,
    )


def do(action: Any, *paths: Path, **options: Any) -> None:
    """Run the command."""
    assert run(Episodes(action, paths, **options)) == 0


def episodes(folder: Path) -> list[Episode]:
    """Read what is in a folder."""
    return [read_episode(stored, ROBOT) for stored in list_episodes(folder)]


def names(folder: Path) -> list[str]:
    """Return the names of what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def bags(tmp_path: Path) -> Path:
    """Return a folder of a success, a failure and one that nobody judged."""
    for number, success in enumerate((True, False, None)):
        write_bag(tmp_path / 'bags' / f'e{number}', resting(number, success=success), ROBOT)
    return tmp_path / 'bags'


@pytest.mark.parametrize('quality', [False, True])
def test_a_list_has_whole_names_and_numbers_in_a_narrow_terminal(
    bags: Path, quality: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And in a pipe, which counts as one: --only takes the names."""
    monkeypatch.setenv('COLUMNS', '80')
    (bags / 'e0').rename(bags / 'episode_000000')
    words = 'hand the red cube from the right gripper to the left'
    do('relabel', bags, task=words, operator_id='scripted expert')
    capsys.readouterr()
    do('list', bags, quality=quality)
    text = capsys.readouterr().out
    assert 'episode_000000  success   2.5' in text
    if quality:
        assert 'still_start_s' in text
        assert '…' not in text
    else:
        assert max(map(len, text.splitlines())) <= 80


def storage(bag: Path) -> tuple[int, int]:
    """Return identity and time of the file that holds the messages of a bag."""
    about = (bag / f'{bag.name}.mcap').stat()
    return about.st_ino, about.st_mtime_ns


def test_list_has_outcome_length_and_who(bags: Path, tmp_path: Path) -> None:
    """Nothing is read for it but metadata; the file has the same for programs."""
    do('list', bags, outcome=('success', 'unjudged'), json=tmp_path / 'a.json')
    found = json.loads((tmp_path / 'a.json').read_text())
    assert [(row['name'], row['outcome']) for row in found] == [
        ('e0', 'success'),
        ('e2', 'unjudged'),
    ]
    assert found[0]['seconds'] == pytest.approx(2.48)
    assert found[0]['labels']['operator_id'] == 'Ada'
    assert found[0]['quality'] == {}


def test_damaged_episode_is_listed_with_its_reason(
    bags: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are listed too."""
    (bags / 'e1' / 'e1.mcap').write_bytes(b'\x89MCAP0\r\n')
    do('list', bags)
    out = capsys.readouterr().out
    assert 'e1: episode' in out
    assert '3 of 3 episodes' in out
    assert '1 damaged' in out


def test_limits_pick_by_what_was_measured(bags: Path, tmp_path: Path) -> None:
    """A limit is no part of the measurement."""
    black = {c.name: np.zeros((13, 240, 320, 3), np.uint8) for c in ROBOT.cameras}
    write_bag(bags / 'e3', replace(resting(3), images=black), ROBOT)
    do('list', bags, where=('dark>0.9', 'duplicated > 0.5'), json=tmp_path / 'a.json')
    (found,) = json.loads((tmp_path / 'a.json').read_text())
    assert found['name'] == 'e3'
    assert found['quality']['still_start_s'] == pytest.approx(1.02)
    with pytest.raises(
        ConfigError, match="'blurred>1' is no limit; give one such as sharpness<30"
    ):
        do('list', bags, where=('blurred>1',))


def test_trimmed_bag_keeps_its_files(bags: Path) -> None:
    """What counts is said in its metadata, and every reader goes by it."""
    before = storage(bags / 'e0')
    do('trim', bags / 'e0', margin_s=0.1)
    assert storage(bags / 'e0') == before
    (short,) = episodes(bags / 'e0')
    assert len(short.proprio) == pytest.approx(MOVE + 10, abs=2)
    assert (short.task, short.success) == ('move the cube', True)
    np.testing.assert_allclose(short.proprio[[0, -1], 0], [0.3, 0.8], atol=1e-6)
    assert read_commands(bags / 'e0', ROBOT).time_s[-1] == pytest.approx(0.68, abs=0.05)
    do('trim', bags / 'e0', margin_s=0.1)
    assert_same_episode(episodes(bags / 'e0')[0], short)


def test_trimmed_file_is_cut_and_the_uncut_one_is_kept(tmp_path: Path) -> None:
    """Rows, images and flags alike; what we do not know of is cut with them."""
    path = tmp_path / 'a.hdf5'
    write_hdf5(path, resting(), ROBOT)
    with h5py.File(path, 'r+') as file:
        file['base_action'] = np.arange(250).reshape(125, 2)
        file['camera_matrix'] = np.eye(3)
    do('trim', path, margin_s=0.0)
    with h5py.File(path) as file:
        n = len(file['action'])
        assert file['base_action'][0, 0] == 2 * 51
        assert file['camera_matrix'].shape == (3, 3)
    assert n == pytest.approx(MOVE, abs=2)
    (short,) = episodes(path)
    np.testing.assert_array_equal(
        short.human_intervention, resting().human_intervention[51 : 51 + n]
    )
    assert names(tmp_path / '.trash') == ['a.hdf5']
    path.unlink()
    do('restore', tmp_path)
    assert_same_episode(episodes(path)[0], resting())


@pytest.mark.parametrize('ending', ['', '.hdf5'])
def test_parts_of_a_split_episode_are_episodes(tmp_path: Path, ending: str) -> None:
    """Each has its rows, the instruction and who acted; together they are the whole."""
    whole = resting()
    path = tmp_path / f'a{ending}'
    (write_hdf5 if ending else write_bag)(path, whole, ROBOT)
    inode = 0 if ending else storage(path)[0]
    do('split', path, at=(0.5, 1.5))
    assert names(tmp_path) == ['.trash', f'a_0{ending}', f'a_1{ending}', f'a_2{ending}']
    first, second, third = episodes(tmp_path)
    assert first.task == second.task == 'move the cube'
    assert [part.success for part in (first, second, third)] == [None, None, True]
    assert [p.circumstances.progress for p in (first, second, third)] == [None, None, 0.75]
    assert [len(part.proprio) for part in (first, second, third)] == [25, 50, 50]
    np.testing.assert_array_equal(first.human_intervention[:8], whole.human_intervention[:8])
    if not ending:
        assert (tmp_path / 'a_1' / 'a.mcap').stat().st_ino == inode
    with pytest.raises(ConfigError, match=r'is divided at rising times in it, got \[1.5, 0.2\]'):
        do('split', tmp_path / f'a_0{ending}', at=(1.5, 0.2))


def test_file_without_commands_is_split(tmp_path: Path) -> None:
    """Of a robot that was moved by hand."""
    write_hdf5(tmp_path / 'a.hdf5', resting(), ROBOT)
    with h5py.File(tmp_path / 'a.hdf5', 'a') as file:
        del file['action']
    do('split', tmp_path / 'a.hdf5', at=(0.5,))
    rows = []
    for name in ('a_0.hdf5', 'a_1.hdf5'):
        with h5py.File(tmp_path / name) as file:
            rows.append(len(file['observations/qpos']))
    assert rows == [25, 100]


def test_merged_bags_are_links(bags: Path, tmp_path: Path) -> None:
    """Those that were picked, numbered anew; labels of one are not those of the other."""
    do('merge', bags, outcome=('success', 'failure'), out=tmp_path / 'both')
    assert names(tmp_path / 'both') == ['episode_000000', 'episode_000001']
    file = next((tmp_path / 'both' / 'episode_000000').glob('*.mcap'))
    assert file.stat().st_ino == storage(bags / 'e0')[0]
    do('relabel', tmp_path / 'both', only=('episode_000000',), success='no')
    assert [e.success for e in episodes(tmp_path / 'both')] == [False, False]
    assert episodes(bags / 'e0')[0].success is True


def test_a_success_has_no_word_for_what_went_wrong(tmp_path: Path) -> None:
    """Labels that contradict each other are refused, and nothing is written."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(), ROBOT)
    with pytest.raises(ConfigError, match='--success yes with --failure dropped contradicts'):
        do('relabel', tmp_path / 'a.hdf5', success='yes', failure='dropped')
    assert 'failure' not in episodes(tmp_path / 'a.hdf5')[0].circumstances.known


@pytest.mark.parametrize('format', ['bag', 'hdf5', 'lerobot'])
def test_a_failure_that_was_a_success_after_all(tmp_path: Path, format: str) -> None:
    """What was said of the failure goes, in every format; what was not said is not made up."""
    path = tmp_path / format
    if format == 'lerobot':
        lerobot(path, [0])
    else:
        (write_hdf5 if format == 'hdf5' else write_bag)(path, sample_episode(), ROBOT)
    before = episodes(path)[0].circumstances.known
    do('relabel', path, success='yes')
    assert episodes(path)[0].circumstances.known == before
    do('relabel', path, success='no', failure='dropped', progress=0.5, note='slippery')
    do('relabel', path, success='yes')
    judged = episodes(path)[0]
    assert judged.success is True
    about = judged.circumstances
    assert (about.failure or '', about.progress, about.note) == ('', 1.0, 'slippery')


def test_merged_files_are_links_until_one_is_labelled(tmp_path: Path) -> None:
    """A label of one is no label of the other."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(), ROBOT)
    do('merge', tmp_path / 'a.hdf5', out=tmp_path / 'both')
    do('relabel', tmp_path / 'both', success='no')
    assert episodes(tmp_path / 'both')[0].success is False
    assert episodes(tmp_path / 'a.hdf5')[0].success is True


def lerobot(root: Path, seeds: Sequence[int]) -> Path:
    """Write a LeRobot data set."""
    with LeRobotWriter(root, ROBOT, 50.0) as data_set:
        for seed in seeds:
            data_set.add(sample_episode(seed))
    return root


def test_lerobot_sets_merge_into_a_new_one(tmp_path: Path) -> None:
    """Episodes share files there, so that none is thrown away or cut alone."""
    one, two = lerobot(tmp_path / 'one', [0, 1]), lerobot(tmp_path / 'two', [2])
    do('merge', one, two, out=tmp_path / 'all')
    assert len(episodes(tmp_path / 'all')) == 3
    with pytest.raises(ConfigError, match='its episodes share files; write a new data set'):
        do('delete', one, only=('episode_000000',))


@pytest.mark.parametrize('format', ['bag', 'hdf5', 'lerobot'])
def test_new_labels_are_read_in_every_format(tmp_path: Path, format: str) -> None:
    """The instruction too, which a bag has as a message, and no image or row is written again."""
    path = tmp_path / format
    if format == 'lerobot':
        lerobot(path, [0, 1])
    else:
        (write_hdf5 if format == 'hdf5' else write_bag)(path, sample_episode(), ROBOT)
    changes = {'task': 'drop it', 'success': 'no', 'progress': 0.25, 'operator_id': 'Bob'}
    number = ('episode_000000',) if format == 'lerobot' else ()
    do('relabel', path, only=number, **changes)
    first = read_episode(list_episodes(path)[0], ROBOT)
    assert (first.task, first.success, first.source) == ('drop it', False, 'demo')
    about = first.circumstances
    assert (about.progress, about.operator_id, about.station_id) == (0.25, 'Bob', 'bench 3')
    np.testing.assert_array_equal(first.actions, sample_episode().actions)
    if format == 'lerobot':
        other = read_episode(list_episodes(path)[1], ROBOT)
        assert (other.task, other.success) == ('move the cube', True)
        rows = pq.read_table(path / 'data/chunk-000/file-000.parquet', partitioning=None)
        assert rows['task_index'].to_pylist() == [1] * 12 + [0] * 12


def test_deleted_episodes_can_be_restored(bags: Path) -> None:
    """They are moved, never removed, and nothing is moved that nobody picked."""
    with pytest.raises(ConfigError, match='delete needs what picks them'):
        do('delete', bags)
    do('delete', bags, outcome=('failure',), dry_run=True)
    assert names(bags) == ['e0', 'e1', 'e2']
    do('delete', bags, outcome=('failure',))
    assert names(bags) == ['.trash', 'e0', 'e2']
    assert len(list_episodes(bags)) == 2
    do('restore', bags, dry_run=True)
    assert names(bags) == ['.trash', 'e0', 'e2']
    do('restore', bags)
    assert names(bags) == ['.trash', 'e0', 'e1', 'e2']


def test_damaged_file_can_be_deleted(tmp_path: Path) -> None:
    """It cannot say which videos belong to it, and is in the way of the others."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(), ROBOT)
    (tmp_path / 'b.hdf5').write_bytes(b'torn')
    do('delete', tmp_path, outcome=('damaged',))
    assert names(tmp_path) == ['.trash', 'a.hdf5']
    assert names(tmp_path / '.trash') == ['b.hdf5']


def test_invalid_episode_is_not_measured_and_stays_invalid(bags: Path, tmp_path: Path) -> None:
    """The recorder has judged it: it can be opened, but nobody reads it."""
    write_custom(bags / 'e1', {'invalid': '/high/image_raw was silent for 1 s'})
    do('list', bags, quality=True, json=tmp_path / 'a.json')
    found = json.loads((tmp_path / 'a.json').read_text())[1]
    assert (found['outcome'], found['quality']) == ('invalid', {})
    assert found['seconds'] == pytest.approx(2.48)
    assert found['reason'] == '/high/image_raw was silent for 1 s'


def test_quality_of_an_episode_that_never_moves(tmp_path: Path) -> None:
    """It is still throughout, and trimming it is refused."""
    rows = np.full((20, 14), 0.3, np.float32)
    path = tmp_path / 'a'
    write_bag(path, replace(sample_episode(0, 20), proprio=rows, actions=rows), ROBOT)
    do('list', path, quality=True, json=tmp_path / 'a.json')
    (found,) = json.loads((tmp_path / 'a.json').read_text())
    assert (found['quality']['still'], found['quality']['saturated']) == (1.0, 0.0)
    with pytest.raises(ConfigError, match='nothing moves in it'):
        do('trim', path)


def test_bag_with_damaged_metadata_is_not_labelled(bags: Path) -> None:
    """Its files are read without; a label needs a place."""
    (bags / 'e0' / 'metadata.yaml').write_text('version: [9', encoding='utf-8')
    with pytest.raises(ConfigError, match=r'no whole metadata.yaml that could hold it; make one'):
        do('relabel', bags / 'e0', success='no')


def test_bag_of_another_clock_is_trimmed_where_it_is_idle(tmp_path: Path) -> None:
    """Stamps of a simulation: what is left out is told on the clock of the bag."""
    rows = recording(4.0, stamp=lambda _topic, ns: ns - other_recorders.START_NS + 10**9)
    for row in (row for row in rows if row.type == JOINT_STATE):
        at_s = (row.arrival_ns - other_recorders.START_NS) * 1e-9
        row.message.position[::7] = 0.1 * np.clip(at_s, 1.0, 3.0)
    path = write_bag_of(tmp_path / 'a', rows, {'source': 'demo', 'success': 'true'})
    do('trim', path, margin_s=0.1, stamps='header')
    short = read_bag(path, ROBOT, 50.0, reading=Reading(stamps='header'))
    assert len(short.actions) == pytest.approx(100, abs=3)
    np.testing.assert_allclose(short.actions[[0, -1], 0], [0.1, 0.3], atol=0.004)


def test_bare_files_merge(tmp_path: Path) -> None:
    """Numbered like all others, each with its ending."""
    files = []
    for number in range(2):
        write_bag(tmp_path / f'e{number}', sample_episode(number), ROBOT)
        files.append((tmp_path / f'e{number}' / f'e{number}.mcap').rename(
            tmp_path / f'{number}.mcap'
        ))  # fmt: skip
    do('merge', *files, out=tmp_path / 'both')
    assert names(tmp_path / 'both') == ['episode_000000.mcap', 'episode_000001.mcap']


def test_merged_links_lead_to_their_files(tmp_path: Path) -> None:
    """Also from a folder that lies elsewhere, where a relative link would lead to nothing."""
    (tmp_path / 'pool').mkdir()
    (tmp_path / 'day').mkdir()
    write_hdf5(tmp_path / 'pool' / 'x.hdf5', sample_episode(), ROBOT)
    (tmp_path / 'day' / 'episode_0.hdf5').symlink_to('../pool/x.hdf5')
    (tmp_path / 'all').mkdir()
    do('merge', tmp_path / 'day', out=tmp_path / 'all' / 'good')
    (tmp_path / 'pool' / 'x.hdf5').unlink()
    assert_same_episode(*episodes(tmp_path / 'all' / 'good'), sample_episode())


def test_part_that_begins_with_a_message_has_its_flag(bags: Path) -> None:
    """That of the tick at which it begins, not that of the one before."""
    flags = np.arange(2 * REST + MOVE) % 2 == 0
    write_bag(bags / 'e3', replace(resting(3), expert=flags), ROBOT)
    do('split', bags / 'e3', at=(1.0,))
    (part,) = (each for each in list_episodes(bags) if each.name == 'e3_1')
    np.testing.assert_array_equal(read_episode(part, ROBOT).expert, flags[50:])


def test_parts_of_a_file_begin_when_they_were_recorded(tmp_path: Path) -> None:
    """Each at the time of its first row."""
    write_hdf5(tmp_path / 'a.hdf5', resting(), ROBOT)
    do('split', tmp_path / 'a.hdf5', at=(1.0,))
    first, second = episodes(tmp_path)
    assert [int(part.stamps_ns[0]) - START_NS for part in (first, second)] == [0, 10**9]
