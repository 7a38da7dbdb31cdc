# SPDX-License-Identifier: Apache-2.0
"""An episode while it is being recorded: what came on every topic, and whether it is still good.

Messages stay serialized. Once a second everything is brought into the file, so that a killed
process loses no more than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import hashlib
import json
from pathlib import Path
import shutil
from typing import Any

from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.outputs import PARTIAL
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError

FLUSH_NS = 10**9  # what a killed process may lose
PREFIX = 'episode_'


@dataclass(slots=True)
class _Tally:
    """What came on one topic: times of arrival [ns, ROS clock] and the longest gap [ns]."""

    first_ns: int
    last_ns: int
    gap_ns: int
    n: int = 0


class Recording:
    """One episode on its way into a bag.

    Attributes:
        path: Folder the bag will have.
        n: Messages written.
    """

    def __init__(
        self,
        path: Path,
        details: Mapping[str, str],
        rates_hz: Mapping[str, float],
        start_ns: int,
        compress: bool = True,
    ) -> None:
        """Create the folder.

        Args:
            path: Folder of the bag, which must not exist.
            details: Custom data that is known at the start.
            rates_hz: Topic -> nominal rate [Hz] of the streams that an episode cannot do without.
            start_ns: Time of the start [ns, ROS clock].
            compress: Whether chunks are compressed.

        Raises:
            FileExistsError: The folder exists.
        """
        self.path, self.n = path, 0
        self._bag = BagWriter(path, details, compress)
        self._rates_hz = dict(rates_hz)
        self._start_ns = self._flushed_ns = start_ns
        self._tallies = {topic: _Tally(start_ns, start_ns, 0) for topic in rates_hz}

    @property
    def n_bytes(self) -> int:
        """Size of the file by now [bytes]."""
        return self._bag.n_bytes

    def write(self, topic: str, msg_type: str, data: bytes, stamp_ns: int) -> None:
        """Write one message.

        Args:
            topic: Topic.
            msg_type: Type as ``package/msg/Name``.
            data: Serialized CDR bytes.
            stamp_ns: When it arrived [ns, ROS clock].
        """
        self._bag.write(topic, msg_type, data, stamp_ns)
        self.n += 1
        tally = self._tallies.get(topic)
        if tally is None:
            tally = self._tallies[topic] = _Tally(stamp_ns, stamp_ns, 0)
        elif not tally.n:
            tally.first_ns = stamp_ns
        tally.gap_ns = max(tally.gap_ns, stamp_ns - tally.last_ns)
        tally.last_ns = stamp_ns
        tally.n += 1
        if stamp_ns - self._flushed_ns > FLUSH_NS:
            self._flushed_ns = stamp_ns
            self._bag.flush()

    def find_silent(self, now_ns: int, max_silence_s: float) -> str:
        """Return which stream is or was silent for too long, empty when none.

        Args:
            now_ns: Now [ns, ROS clock].
            max_silence_s: How long a stream may be silent [s].
        """
        for topic in self._rates_hz:
            tally = self._tallies[topic]
            gap_s = max(tally.gap_ns, now_ns - tally.last_ns) * 1e-9
            if gap_s > max_silence_s:
                return f'{topic} was silent for {gap_s:.2f} s, limit {max_silence_s} s'
        return ''

    def audit(self, now_ns: int) -> dict[str, dict[str, Any]]:
        """Return what came on every topic, for people and for checks.

        Args:
            now_ns: End of the episode [ns, ROS clock].

        Returns:
            Topic -> ``count``, ``rate_hz`` and ``longest_gap_s`` (from start to end), and
            ``expected``, the count at the nominal rate; None where there is no such number.
        """
        seconds = (now_ns - self._start_ns) * 1e-9
        report: dict[str, dict[str, Any]] = {}
        for topic, tally in self._tallies.items():
            span_s = (tally.last_ns - tally.first_ns) * 1e-9
            nominal_hz = self._rates_hz.get(topic)
            gap_ns = max(tally.gap_ns, now_ns - tally.last_ns) if nominal_hz else tally.gap_ns
            report[topic] = {
                'count': tally.n,
                'rate_hz': round((tally.n - 1) / span_s, 3) if span_s > 0 else None,
                'longest_gap_s': round(gap_ns * 1e-9, 4),
                'expected': round(seconds * nominal_hz) if nominal_hz else None,
            }
        return report

    def finish(
        self, now_ns: int, success: bool | None, cut: str = '', invalid: str = ''
    ) -> dict[str, dict[str, Any]]:
        """Close the bag with its label and return the audit.

        Args:
            now_ns: End of the episode [ns, ROS clock].
            success: Outcome, None when nobody judged it.
            cut: Why it ended before somebody ended it; empty when somebody did.
            invalid: Why nobody shall learn from it; empty when it is good.

        Raises:
            OSError: It cannot be written.
        """
        audit = self.audit(now_ns)
        details = {'audit': json.dumps(audit), 'complete': 'false' if cut else 'true'}
        if success is not None:
            details['success'] = str(success).lower()
        details |= {key: why for key, why in (('cut', cut), ('invalid', invalid)) if why}
        for key, value in details.items():
            self._bag.set_metadata(key, value)
        self._bag.close()
        return audit

    def discard(self) -> None:
        """Remove what was recorded."""
        self._bag.discard()


def next_episode(folder: Path) -> Path:
    """Return the folder of the next episode, numbered behind all that are there."""
    names = [p.name.removesuffix(PARTIAL).removeprefix(PREFIX) for p in folder.glob(f'{PREFIX}*')]
    last = max((int(name) for name in names if name.isdecimal()), default=-1)
    return folder / f'{PREFIX}{last + 1:06d}'


def stream_rates(robot: RobotSpec) -> dict[str, float]:
    """Return topic -> nominal rate [Hz] of all cameras and joint states."""
    cameras = {camera.topic: camera.rate_hz for camera in robot.cameras}
    return cameras | {arm.joint_state_topic: robot.joint_state_rate_hz for arm in robot.arms}


def find_stale(
    newest_ns: Mapping[str, int], topics: Iterable[str], now_ns: int, max_age_s: float
) -> str:
    """Return every topic that is too old and how old, empty when none is.

    Args:
        newest_ns: Topic -> when its newest message arrived [ns, ROS clock].
        topics: Topics that matter.
        now_ns: Now [ns, ROS clock].
        max_age_s: Highest age [s].
    """
    found = []
    for topic in topics:
        if topic not in newest_ns:
            found.append(f'{topic} has sent nothing yet')
        elif (age_s := (now_ns - newest_ns[topic]) * 1e-9) > max_age_s:
            found.append(f'{topic} is {age_s:.2f} s old')
    return f'{", ".join(found)}; limit {max_age_s} s' if found else ''


def find_full(folder: Path, min_free_mb: float) -> str:
    """Return that a disk is almost full, empty when it is not.

    Args:
        folder: Folder on the disk.
        min_free_mb: What must stay free [MB of 10**6 bytes].
    """
    free_mb = shutil.disk_usage(folder).free / 1e6
    if free_mb >= min_free_mb:
        return ''
    return f'{folder}: {free_mb:.0f} MB are free, limit {min_free_mb:.0f} MB; make room'


def hash_folder(folder: Path) -> str:
    """Return the SHA-256 of a checkpoint folder: names and contents of its files.

    Left out are ``engines/``, made from the rest on each machine, and ``work/``, which a training
    run leaves and nobody needs.

    Raises:
        ConfigError: There is no ``policy.json`` in it.
    """
    if not (folder / 'policy.json').is_file():
        msg = f'no checkpoint folder {folder}: it has no policy.json'
        raise ConfigError(msg)
    total = hashlib.sha256()
    for file in sorted(f for f in folder.rglob('*') if f.is_file()):
        name = file.relative_to(folder)
        if name.parts[0] not in ('engines', 'work'):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(f'{name.as_posix()} {content}\n'.encode())
    return total.hexdigest()
