# SPDX-License-Identifier: Apache-2.0
"""Events that a node writes and a command reads while it runs."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.event_log import EventLog, read_events


def test_events_are_read_while_they_are_written(tmp_path: Path) -> None:
    """A reader goes on where it stopped."""
    path = tmp_path / 'new' / 'events.jsonl'
    log = EventLog(path)
    log.write('started', seed=3)
    events, end = read_events(path)
    assert events == [{'event': 'started', 'seed': 3}]
    log.write('done')
    assert read_events(path, end)[0] == [{'event': 'done'}]
    assert len(read_events(path)[0]) == 2


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    """A writer may be in the middle of it."""
    path = tmp_path / 'events.jsonl'
    path.write_text('{"event": "a"}\n{"event": ', encoding='utf-8')
    events, end = read_events(path)
    assert events == [{'event': 'a'}]
    with path.open('a', encoding='utf-8') as file:
        file.write('"b"}\n')
    assert read_events(path, end)[0] == [{'event': 'b'}]


def test_file_that_does_not_exist_has_no_events(tmp_path: Path) -> None:
    """The node has not started yet."""
    assert read_events(tmp_path / 'events.jsonl') == ([], 0)


def test_events_of_an_earlier_run_are_kept(tmp_path: Path) -> None:
    """A demonstrator goes on with the seeds that are missing."""
    path = tmp_path / 'events.jsonl'
    EventLog(path).write('episode', seed=0)
    EventLog(path).write('episode', seed=1)
    assert [event['seed'] for event in read_events(path)[0]] == [0, 1]
