# SPDX-License-Identifier: Apache-2.0
"""Episodes recorded one after the other, without ROS."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.data.bags.session import RecordingSession, SessionLimits
from cosmos_policy_ros.data.bags.writer import typestore
import pytest

TOPIC = '/cam_high/flag'
MESSAGE = bytes(
    typestore().serialize_cdr(typestore().types['std_msgs/msg/Bool'](True), 'std_msgs/msg/Bool')
)
SECOND_NS = 10**9


def session(out: Path, min_free_mb: float = 0.0) -> RecordingSession:
    """Return a session with one stream of 10 Hz."""
    return RecordingSession(
        out, {'source': 'demo'}, {TOPIC: 10.0}, SessionLimits(0.5, 0.5, min_free_mb)
    )


def record(recorder: RecordingSession, start_ns: int, seconds: float) -> int:
    """Write an episode at its rate and return when it ends [ns]."""
    recorder.start(start_ns, 'task', {TOPIC: start_ns})
    for i in range(round(10 * seconds)):
        assert recorder.write(TOPIC, 'std_msgs/msg/Bool', MESSAGE, start_ns + i * SECOND_NS // 10)
    return start_ns + round(seconds * SECOND_NS)


def test_episode_that_somebody_ends_is_whole(tmp_path: Path) -> None:
    """It has its label, and the session what became of it."""
    recorder = session(tmp_path)
    end_ns = record(recorder, SECOND_NS, 1.0)
    assert recorder.status(end_ns, 'task', {}).state == 'recording'
    recorder.end(end_ns, success=True)
    assert not recorder.failed
    assert recorder.last == f'{tmp_path / "episode_000000"} has 1.0 s, 10 messages'
    assert read_metadata(tmp_path / 'episode_000000')['success'] == 'true'
    assert recorder.status(end_ns, 'task', {}).path == ''


def test_silent_stream_ends_the_episode_as_invalid(tmp_path: Path) -> None:
    """0.6 s without a message, where 0.5 s are allowed."""
    recorder = session(tmp_path)
    end_ns = record(recorder, SECOND_NS, 1.0)
    assert not recorder.check(end_ns)
    assert recorder.check(end_ns + 6 * SECOND_NS // 10)
    assert recorder.failed
    assert read_metadata(tmp_path / 'episode_000000')['complete'] == 'false'
    assert 'was silent for 0.70 s' in read_metadata(tmp_path / 'episode_000000')['invalid']


def test_episode_does_not_begin_without_task_or_stream(tmp_path: Path) -> None:
    """Both are named."""
    recorder = session(tmp_path)
    with pytest.raises(ValueError, match=f'{TOPIC} has sent nothing yet'):
        recorder.start(SECOND_NS, 'task', {})
    with pytest.raises(ValueError, match='no task; publish it on /task'):
        recorder.start(SECOND_NS, '', {TOPIC: SECOND_NS})
    assert list(tmp_path.iterdir()) == []


def test_second_episode_waits_for_the_end_of_the_first(tmp_path: Path) -> None:
    """One at a time."""
    recorder = session(tmp_path)
    now_ns = record(recorder, SECOND_NS, 1.0)
    with pytest.raises(ValueError, match='an episode is being recorded'):
        recorder.start(now_ns, 'task', {TOPIC: now_ns})
    recorder.discard()
    assert recorder.last == f'{tmp_path / "episode_000000"} was discarded'
    assert list(tmp_path.iterdir()) == []


def test_full_disk_refuses_the_start(tmp_path: Path) -> None:
    """A wish that no disk fulfils."""
    with pytest.raises(ValueError, match='MB are free, limit 1000000000000 MB; make room'):
        session(tmp_path, 1e12).start(SECOND_NS, 'task', {TOPIC: SECOND_NS})
