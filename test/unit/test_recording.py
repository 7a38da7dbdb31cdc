# SPDX-License-Identifier: Apache-2.0
"""A recording survives its recorder, says what it holds and what it lacks."""

from __future__ import annotations

from collections.abc import Callable
import itertools
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

from cosmos_policy_ros.data.bags.preflight import find_full, find_stale, stream_rates
from cosmos_policy_ros.data.bags.provenance import hash_checkpoint
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.bags.recording import next_episode, Recording
from cosmos_policy_ros.data.bags.recovery import is_being_recorded, recover, recover_all
from cosmos_policy_ros.data.bags.writer import typestore
from cosmos_policy_ros.data.episodes import list_episodes
from cosmos_policy_ros.image_decoder import IMAGE
from cosmos_policy_ros.types import ConfigError
from mcap.reader import make_reader
import numpy as np
import pytest
from rosbags.rosbag2 import Reader
from test_bag import META, record, ROBOT
from test_outputs import log_of_the_disk

START_NS = 5 * 10**9
TICK_NS = 10**7
IMAGE_TOPIC, JOINTS = '/high/image_raw', '/follower_left/joint_states'
RATES = {IMAGE_TOPIC: 100.0, JOINTS: 100.0}
KILLED = """
import os, signal, sys
sys.path.insert(0, {test!r})
from pathlib import Path
from test_recording import begin, clock_of_ticks, FRAME, IMAGE, IMAGE_TOPIC, START_NS, TICK_NS
recording = begin(Path({folder!r}), clock_of_ticks())
for k in range(250):
    recording.write(IMAGE_TOPIC, IMAGE, FRAME, START_NS + k * TICK_NS - (k > 50) * {back_ns})
os.kill(os.getpid(), signal.SIGKILL)
"""


def make_frame(n: int = 64) -> bytes:
    """Return a serialized (n, n, 3) rgb8 image."""
    types = typestore().types
    header = types['std_msgs/msg/Header'](types['builtin_interfaces/msg/Time'](5, 0), 'high')
    pixels = np.arange(n * n * 3, dtype=np.uint32).astype(np.uint8)
    image = types[IMAGE](header, n, n, 'rgb8', 0, 3 * n, pixels)
    return bytes(typestore().serialize_cdr(image, IMAGE))


FRAME = make_frame()


def begin(folder: Path, clock: Callable[[], float] = time.monotonic) -> Recording:
    """Return a recording that has just begun."""
    details = {'source': 'demo', 'task': 'move'}
    return Recording(folder / 'a', details, RATES, START_NS, clock=clock)


def clock_of_ticks() -> Callable[[], float]:
    """Return a clock by which messages that are written at once come at 100 Hz."""
    return itertools.count(0.0, 0.01).__next__


def kill_in_mid_episode(folder: Path, back_ns: int = 0) -> Path:
    """Let a process write 2.5 s of messages and die; return the folder it leaves.

    Args:
        folder: Where it records.
        back_ns: By how much the clock of the computer is set back after 0.5 s.
    """
    test = str(Path(__file__).parent)
    code = KILLED.format(test=test, folder=str(folder), back_ns=back_ns)
    died = subprocess.run([sys.executable, '-c', code], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    return folder / 'a.partial'


def custom(path: Path) -> dict[str, str]:
    """Return the custom data of a bag."""
    with Reader(path) as bag:
        return dict(bag.storage.metadata.custom or {})


def test_a_killed_recorder_loses_no_more_than_a_second(tmp_path: Path) -> None:
    """Of 2.5 s at 100 Hz the first 2 s are in the bag that is recovered."""
    path = recover(kill_in_mid_episode(tmp_path))
    assert path == tmp_path / 'a'
    with Reader(path) as bag:
        times = [t for _, t, _ in bag.messages()]
    assert 200 <= len(times) <= 250
    assert times == [START_NS + k * TICK_NS for k in range(len(times))]


def test_a_clock_that_is_set_back_does_not_keep_messages_from_the_file(tmp_path: Path) -> None:
    """They came by the second as before, whatever their stamps say."""
    with Reader(recover(kill_in_mid_episode(tmp_path, back_ns=4 * 10**9))) as bag:
        assert 200 <= bag.message_count <= 250


def test_a_recovered_bag_says_that_its_end_is_missing(tmp_path: Path) -> None:
    """What was known at the start is kept; an outcome is not made up."""
    details = custom(recover(kill_in_mid_episode(tmp_path)))
    assert details['complete'] == 'false'
    assert details['source'] == 'demo'
    assert 'success' not in details


def test_a_recovered_bag_opens_in_mcap_tools(tmp_path: Path) -> None:
    """The index is there, and the bytes are those that came."""
    path = recover(kill_in_mid_episode(tmp_path))
    with (path / 'a.mcap').open('rb') as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        first = next(iter(reader.iter_messages()))[2].data
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count >= 200
    assert first == FRAME


def test_an_unfinished_folder_is_no_episode_and_says_incomplete(tmp_path: Path) -> None:
    """Before it is recovered nothing takes it for a bag."""
    partial = kill_in_mid_episode(tmp_path)
    assert "complete: 'false'" in (partial / 'metadata.yaml').read_text(encoding='utf-8')
    with pytest.raises(ConfigError, match='no episodes'):
        list_episodes(tmp_path)


@pytest.mark.parametrize('cut', [1, 100, 1000])
def test_recovery_takes_a_file_that_ends_anywhere(tmp_path: Path, cut: int) -> None:
    """Whole chunks in front of the torn end are kept."""
    torn = kill_in_mid_episode(tmp_path) / 'a.mcap'
    torn.write_bytes(torn.read_bytes()[:-cut])
    with Reader(recover_all(tmp_path)[0]) as bag:
        assert 100 <= bag.message_count < 250


def test_a_file_without_a_whole_chunk_stays(tmp_path: Path) -> None:
    """Nothing is thrown away that cannot be read, and a node can start beside it."""
    torn = kill_in_mid_episode(tmp_path) / 'a.mcap'
    torn.write_bytes(torn.read_bytes()[:100])
    assert recover_all(tmp_path) == []
    assert torn.exists()


def test_a_running_recording_is_not_recovered(tmp_path: Path) -> None:
    """A second recorder on the same folder leaves it alone."""
    recording = begin(tmp_path)
    recording.write(IMAGE_TOPIC, IMAGE, FRAME, START_NS)
    assert recover_all(tmp_path) == []
    recording.finish(START_NS + TICK_NS, success=True)
    assert custom(tmp_path / 'a')['complete'] == 'true'


def test_a_recovery_that_was_cut_off_begins_again(tmp_path: Path) -> None:
    """The half-made copy is thrown away, the recording is not."""
    kill_in_mid_episode(tmp_path)
    (tmp_path / 'a.rescue.partial').mkdir()
    assert recover_all(tmp_path) == [tmp_path / 'a']
    assert [p.name for p in tmp_path.iterdir()] == ['a']


def test_a_recording_whose_description_is_lost_is_recovered(tmp_path: Path) -> None:
    """A power cut leaves an empty file; a recorder starts beside it, and messages are kept."""
    partial = kill_in_mid_episode(tmp_path)
    (partial / 'metadata.yaml').write_text('', encoding='utf-8')
    assert recover_all(tmp_path) == [tmp_path / 'a']
    assert custom(tmp_path / 'a') == {'complete': 'false'}


def test_a_recovery_that_was_killed_at_its_end_leaves_no_second_episode(tmp_path: Path) -> None:
    """The bag is there, and its recording is not yet removed: one of both is an episode."""
    partial = kill_in_mid_episode(tmp_path)
    shutil.copytree(partial, tmp_path / 'kept')
    recover(partial)
    (tmp_path / 'kept').rename(partial)
    assert recover_all(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a', 'a.partial']
    assert [stored.name for stored in list_episodes(tmp_path)] == ['a']


def test_audit_counts_what_came_and_what_should_have(tmp_path: Path) -> None:
    """A gap of 50 ms in 1 s of a stream at 100 Hz, and a topic without a rate."""
    recording = begin(tmp_path)
    for k in range(1, 101):
        if not 40 < k < 45:
            recording.write(IMAGE_TOPIC, IMAGE, FRAME, START_NS + k * TICK_NS)
        recording.write(JOINTS, IMAGE, FRAME, START_NS + k * TICK_NS)
    recording.write('/policy/query', IMAGE, FRAME, START_NS + 50 * TICK_NS)
    recording.finish(START_NS + 10**9, success=False)
    audit = json.loads(custom(tmp_path / 'a')['audit'])
    assert audit[IMAGE_TOPIC] == {
        'count': 96,
        'rate_hz': 95.96,
        'longest_gap_s': 0.05,
        'expected': 100,
    }
    assert audit[JOINTS]['count'] == 100
    assert audit['/policy/query'] == {
        'count': 1,
        'rate_hz': None,
        'longest_gap_s': 0.0,
        'expected': None,
    }


def test_a_stream_that_stopped_is_named_with_its_silence(tmp_path: Path) -> None:
    """Also one that came back between two looks, and one that never came."""
    recording = begin(tmp_path)
    recording.write(IMAGE_TOPIC, IMAGE, FRAME, START_NS + TICK_NS)
    recording.write(JOINTS, IMAGE, FRAME, START_NS + 30 * TICK_NS)
    assert recording.find_silent(START_NS + 40 * TICK_NS, 0.5) == ''
    silent = recording.find_silent(START_NS + 61 * TICK_NS, 0.5)
    assert silent == f'{IMAGE_TOPIC} was silent for 0.60 s from 0.01 s on, limit 0.5 s'
    recording.write(IMAGE_TOPIC, IMAGE, FRAME, START_NS + 62 * TICK_NS)
    assert recording.find_silent(START_NS + 63 * TICK_NS, 0.5).startswith(IMAGE_TOPIC)
    recording.discard()
    assert list(tmp_path.iterdir()) == []


def test_an_invalid_episode_is_refused_with_its_reason(tmp_path: Path) -> None:
    """Training names it and leaves it out."""
    record(tmp_path / 'a', meta={**META, 'invalid': '/high/image_raw was silent for 0.60 s'})
    with pytest.raises(ConfigError, match='a is invalid: /high/image_raw was silent'):
        read_bag(tmp_path / 'a', ROBOT, 25.0)


def test_start_names_every_stream_that_is_too_old() -> None:
    """Which and how old."""
    newest = {'/a': 10**9, '/b': 2 * 10**9}
    assert find_stale(newest, ['/a', '/b'], 2 * 10**9, 1.0) == ''
    assert find_stale(newest, ['/a', '/b', '/c'], 2 * 10**9, 0.5) == (
        '/a is 1.00 s old, /c has sent nothing yet; limit 0.5 s'
    )


def test_all_cameras_and_arms_are_expected_at_their_rates() -> None:
    """Three cameras at 12.5 Hz and two arms at 100 Hz."""
    rates = stream_rates(ROBOT)
    assert sorted(rates.values()) == [12.5, 12.5, 12.5, 100.0, 100.0]


def test_a_disk_that_is_almost_full_is_named(tmp_path: Path) -> None:
    """With what is free and what must be."""
    assert find_full(tmp_path, 0.0) == ''
    assert 'MB are free, limit 1000000000000 MB; make room' in find_full(tmp_path, 1e12)


def test_episodes_are_numbered_behind_those_that_are_there(tmp_path: Path) -> None:
    """Unfinished ones count, other folders do not."""
    assert next_episode(tmp_path).name == 'episode_000000'
    (tmp_path / 'episode_000007.partial').mkdir()
    (tmp_path / 'episode_of_mine').mkdir()
    assert next_episode(tmp_path).name == 'episode_000008'


def test_a_checkpoint_is_known_by_its_content(tmp_path: Path) -> None:
    """A changed byte or name changes the hash; engines made on this machine do not."""
    (tmp_path / 'engines').mkdir()
    (tmp_path / 'policy.json').write_text('{}', encoding='utf-8')
    before = hash_checkpoint(tmp_path)
    (tmp_path / 'engines' / 'x').write_text('fast', encoding='utf-8')
    assert hash_checkpoint(tmp_path) == before
    (tmp_path / 'policy.json').write_text('[]', encoding='utf-8')
    assert hash_checkpoint(tmp_path) != before
    assert len(before) == 64


def test_an_episode_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a power cut takes none that was said to be saved."""
    recording = begin(tmp_path)
    recording.write(IMAGE_TOPIC, IMAGE, FRAME, START_NS)
    log = log_of_the_disk(monkeypatch)
    recording.finish(START_NS + TICK_NS, success=True)
    named = log.index('a.partial is called a')
    assert {line for line in log[:named] if line.startswith('on the disk')} == {
        f'on the disk: {name}' for name in ('a.mcap', 'metadata.yaml', 'a.partial', tmp_path.name)
    }
    assert log[-2:] == ['a.partial is called a', f'on the disk: {tmp_path.name}']


def test_a_long_episode_is_brought_to_the_disk_while_it_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a thread: the stop waits for the end of it, and a power cut takes no minutes."""
    log = log_of_the_disk(monkeypatch)
    recording = begin(tmp_path, clock_of_ticks())
    for k in range(250):
        recording.write(IMAGE_TOPIC, IMAGE, FRAME, START_NS + k * TICK_NS)
    until_s = time.monotonic() + 10
    while 'on the disk: a.mcap' not in log and time.monotonic() < until_s:
        time.sleep(0.01)
    assert 'on the disk: a.mcap' in log
    recording.discard()


def test_nobody_recovers_an_episode_that_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is locked until it has its name: another recorder would make a second one of it."""
    recording = begin(tmp_path)
    recording.write(IMAGE_TOPIC, IMAGE, FRAME, START_NS)
    locked: list[bool] = []

    def look(_descriptor: int) -> None:
        locked.append(is_being_recorded(tmp_path / 'a.partial'))

    monkeypatch.setattr(os, 'fsync', look)
    recording.finish(START_NS + TICK_NS, success=True)
    assert locked[0]
    assert [stored.name for stored in list_episodes(tmp_path)] == ['a']


def test_recovery_takes_a_file_with_blocks_of_zeros(tmp_path: Path) -> None:
    """A power cut leaves a length that the disk has not filled; a recorder starts all the same."""
    torn = kill_in_mid_episode(tmp_path) / 'a.mcap'
    data = torn.read_bytes()
    kept = 3 * len(data) // 4
    torn.write_bytes(data[:kept] + bytes(len(data) - kept))
    with Reader(recover_all(tmp_path)[0]) as bag:
        assert 100 <= bag.message_count < 250


def test_a_recorder_that_was_killed_while_it_waited_for_the_disk_has_lost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bag is whole and has its label; where it is not, it is as cut off as any other."""
    recording = begin(tmp_path)
    recording.write(IMAGE_TOPIC, IMAGE, FRAME, START_NS)

    def die(_descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, 'fsync', die)
        with pytest.raises(KeyboardInterrupt):
            recording.finish(START_NS + TICK_NS, success=True)
    shutil.copytree(tmp_path / 'a.partial', tmp_path / 'b.partial')
    torn = tmp_path / 'b.partial' / 'a.mcap'
    torn.write_bytes(torn.read_bytes()[:-100])
    assert recover_all(tmp_path) == [tmp_path / 'a', tmp_path / 'b']
    whole, cut = custom(tmp_path / 'a'), custom(tmp_path / 'b')
    assert (whole['success'], whole['complete']) == ('true', 'true')
    assert (cut['success'], cut['complete']) == ('true', 'false')
