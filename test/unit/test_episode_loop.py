# SPDX-License-Identifier: Apache-2.0
"""The count of a folder and the labels of its episodes, whatever is killed and whenever."""

from __future__ import annotations

import json
from pathlib import Path

from cosmos_policy_ros.data.bags import loop as loop_module
from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.data.bags.loop import EpisodeLoop, FILE
from cosmos_policy_ros.data.bags.recording import next_episode
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.data.episode_edits import restore
from cosmos_policy_ros.types import ConfigError
import pytest

FIRST, SECOND, THIRD = 'episode_000000', 'episode_000001', 'episode_000002'


def record(folder: Path, name: str, **custom: str) -> Path:
    """Write a bag as the recorder leaves it."""
    with BagWriter(folder / name, {'source': 'demo', 'task': 'fold', **custom}) as bag:
        bag.write_text('/task', 'fold', 1_700_000_000_000_000_000)
    return folder / name


def label(loop: EpisodeLoop, name: str, **given: object) -> str:
    """Label an episode."""
    return loop.change({'episode': name, **given})


def test_a_restart_goes_on_with_the_next_episode(tmp_path: Path) -> None:
    """With the number that was wanted and the instruction, which nobody gives again."""
    loop = EpisodeLoop(tmp_path, 3)
    assert (loop.wanted, loop.n_done, loop.episode) == (3, 0, '')
    loop.note_begin('fold the shirt')
    record(tmp_path, FIRST, success='true')
    loop.note_end(FIRST, True, '')
    again = EpisodeLoop(tmp_path)
    assert (again.wanted, again.n_done, again.task) == (3, 1, 'fold the shirt')
    assert (again.episode, again.label) == (FIRST, 'success')


def test_killed_while_it_records_it_finds_what_was_recovered_without_a_label(
    tmp_path: Path,
) -> None:
    """That one is labelled before the next, and counts then."""
    EpisodeLoop(tmp_path, 3)
    path = record(tmp_path, FIRST, complete='false')
    loop = EpisodeLoop(tmp_path, 3, [path])
    assert (loop.n_done, loop.episode, loop.label) == (0, FIRST, '')
    said = label(loop, FIRST, progress=2, failure='dropped')
    assert said == f'{FIRST} is saved: failure, 2 of 4, dropped'
    custom = read_metadata(path)
    assert (custom['success'], custom['progress'], custom['failure']) == (
        'false',
        '0.5',
        'dropped',
    )
    assert custom['complete'] == 'false'
    assert (loop.n_done, loop.label) == (1, 'failure, 2 of 4, dropped')
    assert EpisodeLoop(tmp_path).n_done == 1


def test_killed_while_it_recovers_it_finds_the_bag_all_the_same(tmp_path: Path) -> None:
    """The recovery is over, and nobody has noted it."""
    EpisodeLoop(tmp_path, 3)
    record(tmp_path, FIRST, complete='false')
    loop = EpisodeLoop(tmp_path)
    assert (loop.n_done, loop.episode, loop.label) == (0, FIRST, '')


def test_killed_behind_a_bag_it_has_not_forgotten_its_label(tmp_path: Path) -> None:
    """The bag is whole, and loop.json does not name it yet."""
    EpisodeLoop(tmp_path, 3)
    record(tmp_path, FIRST, success='false')
    loop = EpisodeLoop(tmp_path)
    assert (loop.n_done, loop.episode, loop.label) == (1, FIRST, 'failure')


def test_a_label_that_could_not_be_written_is_not_said_to_be_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither here nor after a restart."""
    path = record(tmp_path, FIRST, complete='false')
    loop = EpisodeLoop(tmp_path, 3, [path])

    def fail(*_: object) -> None:
        raise OSError('the disk is gone')

    with monkeypatch.context() as patched:
        patched.setattr(loop_module, 'relabel_bag', fail)
        with pytest.raises(OSError, match='the disk is gone'):
            label(loop, FIRST, progress=4)
    assert (loop.n_done, loop.label) == (0, '')
    again = EpisodeLoop(tmp_path, 3, [path])
    assert (again.n_done, again.episode, again.label) == (0, FIRST, '')


def test_killed_between_a_label_and_its_note_it_has_the_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bag comes first, and is looked into."""
    EpisodeLoop(tmp_path, 3)
    path = record(tmp_path, FIRST, complete='false')
    loop = EpisodeLoop(tmp_path, 3, [path])

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(EpisodeLoop, '_keep', die)
        with pytest.raises(KeyboardInterrupt):
            label(loop, FIRST, progress=3, note='new lamp')
    again = EpisodeLoop(tmp_path)
    assert (again.n_done, again.label) == (1, 'failure, 3 of 4, new lamp')


def test_words_need_no_progress_where_it_is_known_to_have_failed(tmp_path: Path) -> None:
    """Nobody is made to say how far it came."""
    loop = EpisodeLoop(tmp_path, 3)
    path = record(tmp_path, FIRST, success='false')
    loop.note_end(FIRST, False, '')
    assert label(loop, FIRST, note='new lamp') == f'{FIRST} is saved: failure, new lamp'
    assert 'progress' not in read_metadata(path)


def test_a_full_disk_ends_no_recorder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be kept beside the bags is logged, and found in them later."""
    loop = EpisodeLoop(tmp_path, 3)

    def fail(*_: object) -> None:
        raise ConfigError('the disk is full')

    record(tmp_path, FIRST, success='true')
    with monkeypatch.context() as patched:
        patched.setattr(loop_module, 'write_json', fail)
        loop.note_end(FIRST, True, '')
    assert 'are not kept: the disk is full' in caplog.text
    assert (loop.n_done, loop.episode) == (1, FIRST)
    assert EpisodeLoop(tmp_path).n_done == 1


def test_the_last_label_may_be_mended(tmp_path: Path) -> None:
    """A success forgets what had gone wrong; what is not said again stays."""
    record(tmp_path, FIRST, success='false')
    loop = EpisodeLoop(tmp_path, 3)
    record(tmp_path, SECOND, success='false')
    loop.note_end(SECOND, False, '')
    label(loop, SECOND, progress=1, failure='dropped', note='new lamp')
    assert label(loop, SECOND, progress=4) == f'{SECOND} is saved: success, new lamp'
    assert read_metadata(tmp_path / SECOND)['failure'] == ''
    assert label(loop, SECOND, note='') == f'{SECOND} is saved: success'  # taken back
    assert loop.n_done == 1


def test_what_is_thrown_away_is_in_the_trash_and_recorded_again(tmp_path: Path) -> None:
    """Under its own number, and it can be restored while that is free."""
    loop = EpisodeLoop(tmp_path, 3)
    for name in (FIRST, SECOND):
        record(tmp_path, name, success='true')
        loop.note_end(name, True, '')
    said = label(loop, SECOND, trash=True)
    assert said == f'{SECOND} was moved to {tmp_path / ".trash" / SECOND}'
    assert (loop.n_done, loop.episode) == (1, FIRST)
    assert next_episode(tmp_path).name == SECOND
    assert json.loads((tmp_path / FILE).read_text(encoding='utf-8'))['done'] == [FIRST]
    assert restore(tmp_path) == [tmp_path / SECOND]
    assert EpisodeLoop(tmp_path).n_done == 2


def test_killed_while_it_throws_away_it_counts_what_is_there(tmp_path: Path) -> None:
    """loop.json still names what is gone."""
    loop = EpisodeLoop(tmp_path, 3)
    record(tmp_path, FIRST, success='true')
    loop.note_end(FIRST, True, '')
    (tmp_path / FIRST).rename(tmp_path / 'elsewhere')
    again = EpisodeLoop(tmp_path)
    assert (again.n_done, again.episode) == (0, '')


def test_an_invalid_episode_neither_counts_nor_waits(tmp_path: Path) -> None:
    """Nobody learns from it."""
    loop = EpisodeLoop(tmp_path, 3)
    record(tmp_path, FIRST, invalid='/high/image_raw was silent', success='true')
    loop.note_end(FIRST, True, '/high/image_raw was silent')
    assert (loop.n_done, loop.episode) == (0, '')
    again = EpisodeLoop(tmp_path)
    assert (again.n_done, again.episode) == (0, '')


def test_of_several_without_a_label_the_first_is_next(tmp_path: Path) -> None:
    """A recorder that was killed twice."""
    EpisodeLoop(tmp_path, 3)
    for name in (FIRST, SECOND):
        record(tmp_path, name, complete='false')
    loop = EpisodeLoop(tmp_path)
    assert loop.episode == FIRST
    label(loop, FIRST, progress=0)
    assert (loop.episode, loop.label) == (SECOND, '')
    label(loop, SECOND, progress=4)
    assert (loop.episode, loop.n_done) == (SECOND, 2)


def test_without_a_number_nothing_is_written_beside_the_bags(tmp_path: Path) -> None:
    """What is recovered waits for its label all the same, and what was there does not count."""
    record(tmp_path, FIRST, success='true')
    path = record(tmp_path, SECOND, complete='false')
    loop = EpisodeLoop(tmp_path, 0, [path])
    loop.note_begin('fold')
    label(loop, SECOND, progress=4)
    record(tmp_path, THIRD, success='true')
    loop.note_end(THIRD, True, '')
    assert (loop.wanted, loop.n_done, loop.episode) == (0, 2, THIRD)
    assert sorted(path.name for path in tmp_path.iterdir()) == [FIRST, SECOND, THIRD]


def test_the_number_may_change_while_it_runs(tmp_path: Path) -> None:
    """And 0 leaves it as it is."""
    loop = EpisodeLoop(tmp_path, 3)
    loop.want(0)
    assert loop.wanted == 3
    loop.want(5)
    assert EpisodeLoop(tmp_path).wanted == 5


@pytest.mark.parametrize(
    ('given', 'reason'),
    [
        ({'episode': SECOND, 'progress': 4}, f"no label for '{SECOND}' now, but for {FIRST}"),
        ({'progress': 4}, "no label for '' now"),
        ({'episode': FIRST, 'progress': 5}, 'progress must be 0 to 4, got 5'),
        ({'episode': FIRST, 'progress': True}, 'got progress with True'),
        ({'episode': FIRST, 'progress': 4, 'failure': 'dropped'}, 'success is progress 4 without'),
        ({'episode': FIRST, 'note': 'new lamp'}, f'say first how far {FIRST} came'),
        ({'episode': FIRST, 'progress': 1, 'note': 'x' * 201}, 'note has at most 200 characters'),
        ({'episode': FIRST, 'colour': 'red'}, "got colour with 'red'"),
    ],
)
def test_what_is_no_label_is_refused(
    tmp_path: Path, given: dict[str, object], reason: str
) -> None:
    """Before anything is written."""
    path = record(tmp_path, FIRST, complete='false')
    loop = EpisodeLoop(tmp_path, 3, [path])
    with pytest.raises(ValueError, match=reason):
        loop.change(given)
    assert 'success' not in read_metadata(path)


@pytest.mark.parametrize(
    'text', ['{"wanted": 3}', '{"wanted": "3", "task": "", "first": 0, "done": []}', '[]', '{']
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    """Nothing is counted anew behind somebody's back."""
    (tmp_path / FILE).write_text(text, encoding='utf-8')
    with pytest.raises(ConfigError, match=FILE):
        EpisodeLoop(tmp_path, 3)
