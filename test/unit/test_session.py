# SPDX-License-Identifier: Apache-2.0
"""Episodes recorded one after the other, without ROS."""

from __future__ import annotations

from dataclasses import replace
import errno
import os
from pathlib import Path
import shutil
import time

from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.data.bags.recovery import recover_all
from cosmos_policy_ros.data.bags.session import RecordingSession, SessionLimits
from cosmos_policy_ros.data.bags.stream_watch import StreamWatch
from cosmos_policy_ros.data.bags.writer import typestore
from cosmos_policy_ros.image_decoder import IMAGE
import numpy as np
from other_recorders import raw_image
import pytest
from samples import ROBOT

SECOND_NS = 10**9
CAMERA = replace(ROBOT.cameras[0], width=32, height=24, rate_hz=10.0)
ONE_CAMERA = replace(ROBOT, cameras=(CAMERA,), arms=())
TOPIC = CAMERA.topic


def message(stamp_ns: int, encoding: str = 'rgb8') -> bytes:
    """Return a serialized image that is another one at another time."""
    pixels = np.full((24, 32, 3), stamp_ns // 10**8 % 200, np.uint8)
    return bytes(typestore().serialize_cdr(raw_image(stamp_ns, pixels, encoding), IMAGE))


def session(out: Path, min_free_mb: float = 0.0) -> RecordingSession:
    """Return a session with one stream of 10 Hz."""
    limits = SessionLimits(0.5, 0.5, min_free_mb)
    return RecordingSession(
        out, {'source': 'demo'}, {TOPIC: 10.0}, limits, StreamWatch(ONE_CAMERA)
    )


def take(recorder: RecordingSession, stamp_ns: int, data: bytes) -> bool:
    """Hand a message on as the capture does: to the bag while there is one, then to the judge."""
    if recorder.recording is not None:
        recorder.write(TOPIC, IMAGE, data, stamp_ns)
    return recorder.look(TOPIC, IMAGE, data, stamp_ns)


def record(recorder: RecordingSession, start_ns: int, seconds: float) -> int:
    """Write an episode at its rate and return when it ends [ns]."""
    take(recorder, start_ns - 1, message(start_ns - 1))
    recorder.start(start_ns, 'task')
    for i in range(round(10 * seconds)):
        ns = start_ns + i * SECOND_NS // 10
        assert take(recorder, ns, message(ns))
    return start_ns + round(seconds * SECOND_NS)


def test_episode_that_somebody_ends_is_whole(tmp_path: Path) -> None:
    """It has its label, and the session what became of it."""
    recorder = session(tmp_path)
    end_ns = record(recorder, SECOND_NS, 1.0)
    assert recorder.status(end_ns, 'task').state == 'recording'
    recorder.end(end_ns, success=True)
    assert not recorder.failed
    assert recorder.last == f'{tmp_path / "episode_000000"} has 1.0 s, 10 messages'
    assert read_metadata(tmp_path / 'episode_000000')['success'] == 'true'
    assert recorder.status(end_ns, 'task').path == ''


def test_silent_stream_ends_the_episode_as_invalid(tmp_path: Path) -> None:
    """0.6 s without a message, where 0.5 s are allowed."""
    recorder = session(tmp_path)
    end_ns = record(recorder, SECOND_NS, 1.0)
    assert not recorder.check(end_ns)
    assert recorder.check(end_ns + 6 * SECOND_NS // 10)
    assert recorder.failed
    assert read_metadata(tmp_path / 'episode_000000')['complete'] == 'false'
    assert (
        'was silent for 0.70 s from 0.90 s on'
        in read_metadata(tmp_path / 'episode_000000')['invalid']
    )


def test_episode_does_not_begin_without_task_or_stream(tmp_path: Path) -> None:
    """Both are named."""
    recorder = session(tmp_path)
    with pytest.raises(ValueError, match=f'{TOPIC} has sent nothing yet'):
        recorder.start(SECOND_NS, 'task')
    take(recorder, SECOND_NS, message(SECOND_NS))
    with pytest.raises(ValueError, match='no task; publish it on /task'):
        recorder.start(SECOND_NS, '')
    assert list(tmp_path.iterdir()) == []


def test_stream_of_no_use_refuses_the_start_and_ends_the_episode(tmp_path: Path) -> None:
    """Before the start nothing is written; a camera that changes its mode spoils what follows."""
    recorder = session(tmp_path)
    take(recorder, SECOND_NS, message(SECOND_NS, '16UC1'))
    depth = f"{TOPIC}: image encoding '16UC1' is depth, a colour image is expected"
    assert recorder.status(SECOND_NS, 'task').stale == depth
    with pytest.raises(ValueError, match=depth):
        recorder.start(SECOND_NS, 'task')
    assert list(tmp_path.iterdir()) == []
    end_ns = record(recorder, 2 * SECOND_NS, 1.0)
    assert not take(recorder, end_ns, message(end_ns, '16UC1'))
    assert recorder.failed
    about = read_metadata(tmp_path / 'episode_000000')
    assert about['invalid'].startswith(f"{TOPIC} at 1.00 s: image encoding '16UC1' is depth")
    assert 'success' not in about


def test_image_that_stood_still_is_told_at_the_end(tmp_path: Path) -> None:
    """The episode stays as it is: a simulator may draw equal images, a camera does not."""
    recorder = session(tmp_path)
    end_ns = record(recorder, SECOND_NS, 1.0)
    for i in range(9):
        take(recorder, end_ns + i * SECOND_NS // 10, message(end_ns))
    recorder.end(end_ns + SECOND_NS, success=True)
    assert not recorder.failed
    assert recorder.last.endswith(f'{TOPIC} showed the same image for 0.80 s from 1.00 s on')


def test_second_episode_waits_for_the_end_of_the_first(tmp_path: Path) -> None:
    """One at a time."""
    recorder = session(tmp_path)
    now_ns = record(recorder, SECOND_NS, 1.0)
    with pytest.raises(ValueError, match='an episode is being recorded'):
        recorder.start(now_ns, 'task')
    recorder.discard()
    assert recorder.last == f'{tmp_path / "episode_000000"} was discarded'
    assert list(tmp_path.iterdir()) == []


def test_full_disk_refuses_the_start(tmp_path: Path) -> None:
    """A wish that no disk fulfils."""
    with pytest.raises(ValueError, match='MB are free, limit 1000000000000 MB; make room'):
        record(session(tmp_path, 1e12), SECOND_NS, 1.0)


def test_disk_that_was_pulled_out_is_told(tmp_path: Path) -> None:
    """While nothing is recorded, and in the middle of an episode."""
    out = tmp_path / 'usb'
    out.mkdir()
    recorder = session(out)
    now_ns = record(recorder, SECOND_NS, 1.0)
    shutil.rmtree(out)
    assert recorder.check(now_ns)
    assert recorder.failed
    assert recorder.last.startswith(f'{out / "episode_000000"} is unfinished: ')
    assert recorder.status(now_ns, 'task').free_bytes == 0
    with pytest.raises(ValueError, match='usb is gone; is its disk still there'):
        recorder.start(now_ns, 'task')


def test_disk_that_fails_while_recording_ends_the_episode_and_leaves_it_unfinished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not said to be saved, and the next recorder finds what is there."""
    recorder = session(tmp_path)
    take(recorder, SECOND_NS - 1, message(SECOND_NS - 1))
    recorder.start(SECOND_NS, 'task')

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, 'fsync', fail)
    ns, until_s = SECOND_NS, time.monotonic() + 10
    while recorder.recording is not None and time.monotonic() < until_s:
        ns += SECOND_NS // 10
        take(recorder, ns, message(ns))
    assert recorder.recording is None
    assert recorder.failed
    assert 'episode_000000 is unfinished: [Errno 5] Input/output error' in recorder.last
    assert [path.name for path in tmp_path.iterdir()] == ['episode_000000.partial']
    monkeypatch.undo()
    assert recover_all(tmp_path) == [tmp_path / 'episode_000000']
