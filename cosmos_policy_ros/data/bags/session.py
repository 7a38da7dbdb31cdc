# SPDX-License-Identifier: Apache-2.0
"""Episodes recorded one after the other into one folder: begun, ended with a label, or cut.

An episode does not begin while a stream is too old or of no use, without a task or with a full
disk. It ends by itself, marked, when a stream falls silent or cannot be read later, the disk gets
full or writing fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.data.bags.loop import EpisodeLoop
from cosmos_policy_ros.data.bags.preflight import find_full, free_bytes
from cosmos_policy_ros.data.bags.recording import next_episode, Recording
from cosmos_policy_ros.data.bags.stream_watch import StreamWatch
from cosmos_policy_ros.status import RecorderStatus
from cosmos_policy_ros.topics import TASK


@dataclass(frozen=True)
class SessionLimits:
    """What an episode cannot do without.

    Attributes:
        max_age_s: An older stream refuses the start [s].
        max_silence_s: A longer silence of a stream ends the episode [s].
        min_free_mb: Less free disk ends the episode [MB of 10**6 bytes].
        actions: Whether commands have to be sent before it begins.
    """

    max_age_s: float
    max_silence_s: float
    min_free_mb: float
    actions: bool = False


class RecordingSession:
    """Record one episode at a time.

    Attributes:
        recording: The running episode, None while idle.
        last: What became of the last episode, for people.
        failed: Whether the last episode was cut, is invalid or could not be closed.
        loop: How many episodes are wanted and done, and the label of the last one.
    """

    def __init__(
        self,
        out: Path,
        details: Mapping[str, str],
        rates_hz: Mapping[str, float],
        limits: SessionLimits,
        watch: StreamWatch,
        compress: bool = False,
        n_wanted: int = 0,
        recovered: Iterable[Path] = (),
    ) -> None:
        """Record nothing yet.

        Args:
            out: Folder of the bags.
            details: Metadata of every episode.
            rates_hz: Topic -> nominal rate [Hz] of the streams that an episode cannot do without.
            limits: When an episode does not begin, and when it ends by itself.
            watch: What readers would say about the streams.
            compress: Whether bags are compressed with zstd.
            n_wanted: As ``wanted`` of ``EpisodeLoop``.
            recovered: As of ``EpisodeLoop``.

        Raises:
            ConfigError: As ``EpisodeLoop``.
        """
        self.recording: Recording | None = None
        self.loop = EpisodeLoop(out, n_wanted, recovered)
        self.last, self.failed = 'nothing recorded yet', False
        self._out, self._details, self._rates_hz = out, dict(details), dict(rates_hz)
        self._limits, self._watch, self._compress = limits, watch, compress
        self._start_ns = 0

    def look(self, topic: str, msg_type: str, data: bytes, stamp_ns: int) -> bool:
        """Judge a message, recording or not; one that nobody can use ends the episode as invalid.

        Arguments and result as of ``write``.
        """
        if reason := self._watch.see(topic, msg_type, data, stamp_ns):
            self.end(stamp_ns, None, cut=reason, invalid=reason)
        return self.recording is not None

    def start(self, now_ns: int, task: str) -> Path:
        """Begin an episode and return the folder that its bag will have.

        Args:
            now_ns: Now [ns, ROS clock].
            task: Language instruction.

        Raises:
            ValueError: An episode is being recorded, a stream is too old or of no use, there is no
                task or the disk is almost full.
            OSError: The folder cannot be made.
        """
        reason = 'an episode is being recorded' if self.recording is not None else ''
        limits = self._limits
        reason = reason or self._watch.find_unusable(now_ns, limits.max_age_s, limits.actions)
        if not reason and not task:
            reason = f'no task; publish it on {TASK.name} (std_msgs/String, transient local)'
        reason = reason or find_full(self._out, self._limits.min_free_mb)
        if reason:
            raise ValueError(reason)
        self.loop.note_begin(task)
        path, details = next_episode(self._out), {**self._details, 'task': task}
        self.recording = Recording(path, details, self._rates_hz, now_ns, self._compress)
        self._start_ns, self.failed = now_ns, False
        self._watch.begin(now_ns)
        return path

    def write(self, topic: str, msg_type: str, data: bytes, stamp_ns: int) -> bool:
        """Write a message of the running episode; a failing disk ends it.

        Args:
            topic: Topic.
            msg_type: Type as ``package/msg/Name``.
            data: Serialized CDR bytes.
            stamp_ns: When it arrived [ns, ROS clock].

        Returns:
            Whether the episode goes on.
        """
        assert self.recording is not None
        try:
            self.recording.write(topic, msg_type, data, stamp_ns)
        except OSError as error:
            self.end(stamp_ns, None, cut=f'writing failed: {error.strerror}')
        return self.recording is not None

    def check(self, now_ns: int) -> bool:
        """End the episode when a stream is silent or of another clock, or the disk almost full.

        Args:
            now_ns: Now [ns, ROS clock].

        Returns:
            Whether an episode was ended.
        """
        if self.recording is None:
            return False
        silent = self.recording.find_silent(now_ns, self._limits.max_silence_s)
        silent = silent or self._watch.check(now_ns, self._limits.max_silence_s)
        full = '' if silent else find_full(self._out, self._limits.min_free_mb)
        if silent or full:
            self.end(now_ns, None, cut=silent or full, invalid=silent)
        return self.recording is None

    def end(self, now_ns: int, success: bool | None, cut: str = '', invalid: str = '') -> None:
        """Close the bag of the running episode.

        One that cannot be closed stays unfinished for the next recorder. ``last`` and ``failed``
        have the outcome.

        Args:
            now_ns: Now [ns, ROS clock].
            success: Outcome, None when nobody judged it.
            cut: Why it ended before somebody ended it; empty when somebody did.
            invalid: Why nobody shall learn from it; empty when it is good.
        """
        recording, self.recording = self.recording, None
        assert recording is not None
        if not cut:  # a stream that stopped since the last check
            invalid = recording.find_silent(now_ns, self._limits.max_silence_s)
            invalid = invalid or self._watch.check(now_ns, self._limits.max_silence_s, ended=True)
        frozen = self._watch.end()
        self.failed = bool(cut or invalid)
        try:
            audit = recording.finish(now_ns, success, cut, invalid)
        except OSError as error:
            self.failed = True
            self.last = f'{recording.path} is unfinished: {error}; make room and start a recorder'
            return
        self.loop.note_end(recording.path.name, success, invalid)
        seconds = (now_ns - self._start_ns) * 1e-9
        n = sum(row['count'] for row in audit.values())
        self.last = f'{recording.path} has {seconds:.1f} s, {n} messages'
        self.last += f', ended because {cut}' if cut else ''
        self.last += f', invalid because {invalid}' if invalid and not cut else ''
        self.last += f'; {frozen}' if frozen else ''

    def discard(self) -> None:
        """Throw the running episode away."""
        assert self.recording is not None
        self.recording.discard()
        self._watch.end()
        self.last, self.recording = f'{self.recording.path} was discarded', None

    def status(self, now_ns: int, task: str) -> RecorderStatus:
        """Return the running episode and whether one could begin; arguments as of ``start``."""
        recording, max_age_s = self.recording, self._limits.max_age_s
        return RecorderStatus(
            state='recording' if recording else 'idle',
            path=str(recording.path) if recording else '',
            last=self.last,
            failed=self.failed,
            seconds=(now_ns - self._start_ns) * 1e-9 if recording else 0.0,
            messages=recording.n if recording else 0,
            n_bytes=recording.n_bytes if recording else 0,
            free_bytes=free_bytes(self._out) or 0,
            stale='' if recording else self._watch.find_unusable(now_ns, max_age_s, actions=False),
            task=task,
            wanted=self.loop.wanted,
            done=self.loop.n_done,
            episode=self.loop.episode,
            label=self.loop.label,
        )
