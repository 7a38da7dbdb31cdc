# SPDX-License-Identifier: Apache-2.0
"""The last messages in memory, and the report that is written of them."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.data.bags.files import open_bag
from cosmos_policy_ros.data.bags.message_ring import (
    Kept,
    list_reports,
    MessageRing,
    write_report,
)
from cosmos_policy_ros.data.bags.writer import STRING, typestore
import pytest

S = 10**9


def text(words: str) -> bytes:
    """Return a serialized std_msgs/String."""
    return bytes(typestore().serialize_cdr(typestore().types[STRING](words), STRING))


def ring(seconds: float = 3.0, max_bytes: int = 10**6) -> MessageRing:
    """Return a ring that got a task at 1 s, and then a number every second up to 9 s."""
    kept = MessageRing(seconds, max_bytes, ['/task'])
    kept.add('/task', STRING, text('wave'), S, 101.0)
    for second in range(2, 10):
        kept.add('/number', STRING, text(str(second)), second * S, 100.0 + second)
    return kept


def test_what_is_older_than_the_time_is_forgotten() -> None:
    """Six to nine of nine seconds stay, and the task that still holds, as if it came then."""
    messages = ring().snapshot()
    assert [(kept.topic, kept.stamp_ns // S) for kept in messages] == [
        ('/task', 6), ('/number', 6), ('/number', 7), ('/number', 8), ('/number', 9),
    ]  # fmt: skip
    assert messages[0].data == text('wave')


def test_a_clock_that_is_set_takes_nothing_from_what_is_kept() -> None:
    """That it was set back is a fault, whose report needs what was before."""
    kept = ring()
    for second, stamp_s in ((10, 2), (11, 3600)):
        kept.add('/number', STRING, text('later'), stamp_s * S, 100.0 + second)
    assert [message.stamp_ns // S for message in kept.snapshot()[1:]] == [8, 9, 2, 3600]


def test_memory_is_bounded() -> None:
    """The oldest messages give way, whatever the time is."""
    size = len(text('2'))
    full = ring(seconds=100.0, max_bytes=3 * size)
    assert full.n_bytes == 3 * size
    assert [kept.stamp_ns // S for kept in full.snapshot()[1:]] == [7, 8, 9]


def test_one_message_that_is_too_large_is_not_kept() -> None:
    """Nothing else is either then; the next ones are."""
    kept = MessageRing(10.0, 100)
    kept.add('/number', STRING, bytes(200), S, 1.0)
    assert (kept.snapshot(), kept.n_bytes) == ([], 0)
    kept.add('/number', STRING, bytes(50), 2 * S, 2.0)
    assert len(kept.snapshot()) == 1


def test_report_is_a_bag_with_files_beside_it(tmp_path: Path) -> None:
    """Its messages are those of the ring."""
    details = {'robot': 'aloha_sim', 'invalid': 'kept for a report: emergency stop'}
    name = '20261129-205501_emergency_stop'
    path = write_report(
        tmp_path / 'reports', name, ring().snapshot(), details, {'log.txt': 'a line\n'}, keep=3
    )
    assert path == tmp_path / 'reports' / name
    assert (path / 'log.txt').read_text(encoding='utf-8') == 'a line\n'
    with open_bag(path) as bag:
        assert bag.custom['invalid'] == 'kept for a report: emergency stop'
        assert [ns // S for _, ns, _ in bag.messages(['/number'])] == [6, 7, 8, 9]


def test_old_reports_give_way_and_nothing_else_does(tmp_path: Path) -> None:
    """The newest stay; what somebody else put into the folder stays too."""
    (tmp_path / 'notes').mkdir()
    for minute in range(5):
        name = f'20261129-20{minute:02}00_stop'
        write_report(tmp_path, name, [Kept('/task', STRING, text('wave'), S)], {}, {}, keep=2)
    assert [path.name for path in list_reports(tmp_path)] == [
        '20261129-200300_stop', '20261129-200400_stop',
    ]  # fmt: skip
    assert (tmp_path / 'notes').is_dir()


def test_a_full_disk_gets_no_report(tmp_path: Path) -> None:
    """The message says how much is free and how much is wanted."""
    messages = ring().snapshot()
    with pytest.raises(OSError, match=r'MB free, 1000000000 MB are wanted'):
        write_report(tmp_path, '20261129-205501_stop', messages, {}, {}, 3, 10**15)
    assert list_reports(tmp_path) == []
