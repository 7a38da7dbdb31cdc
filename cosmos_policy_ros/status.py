# SPDX-License-Identifier: Apache-2.0
"""What a node reports about itself, as values that other nodes decide by.

A status travels as a diagnostic_msgs/DiagnosticStatus on a topic of its own: ``to_values`` makes
its key-value pairs and ``from_values`` reads them, exactly. ``figures`` is the same status for
people, rounded and in handy units, as it stands on ``/diagnostics``; no program decides by those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
from dataclasses import dataclass, field
import json
import math
from typing import Any, get_args, Literal, TypeVar

T = TypeVar('T', bound='Status')
Mode = Literal['disabled', 'playing', 'ended', 'hold', 'fault']
State = Literal['disabled', 'enabled', 'fault']
NAN = math.nan
PARSERS: dict[str, Callable[[str], Any]] = {  # of a field of a status, by its type
    'int': int,
    'float': float,
    'bool': lambda text: text == 'True',
    'Mapping[str, int]': json.loads,
}
EXECUTOR_NAME = 'command_executor'  # of its node and of its status on /diagnostics


@dataclass(frozen=True)
class ExecutorStatus:
    """What the command executor does and has done since it was enabled.

    Attributes:
        state: State of the safety: ``disabled``, ``enabled`` or ``fault``.
        mode: What it does: ``disabled``, ``playing``, ``ended`` (no rows left, the last one is
            held), ``hold`` or ``fault``.
        reason: Why the arms do not just follow, and which messages are refused; empty when all is
            well.
        stopped: Whether an emergency stop is latched, in any state.
        joint_age_s: Age of the oldest arm's joint state [s]; infinite before all were received.
        standstill_s: Time without rows to play since the first chunk [s].
        seam_jump_rad: Seam jump of the newest chunk [rad].
        seam_jump_rad_p99: 99th percentile of the seam jumps [rad].
        seam_jump_rad_max: Largest seam jump [rad].
        seam_speed_jump_rad_s_max: Largest difference of speeds at a take-over [rad/s].
        interventions: Ticks whose command is not the target.
        intervention_reasons: How many of those ticks for which reason, as in ``Safety``.
        chunks: Chunks that were played.
        chunks_refused: Chunks that could not be played.
        late_ms_p50: Median lateness of the newest commands [ms]; NaN before the first.
        late_ms_p99: 99th percentile of their lateness [ms].
        late_ms_max: Largest of their latenesses [ms].
        deadline_misses: Commands that came too late or not at all, since the start.
        ticks_skipped: Ticks without a command, since the start.
        scheduling: Scheduling of the control loop that the kernel granted.
    """

    state: State
    mode: Mode
    reason: str = ''
    stopped: bool = False
    joint_age_s: float = math.inf
    standstill_s: float = 0.0
    seam_jump_rad: float = 0.0
    seam_jump_rad_p99: float = 0.0
    seam_jump_rad_max: float = 0.0
    seam_speed_jump_rad_s_max: float = 0.0
    interventions: int = 0
    intervention_reasons: Mapping[str, int] = field(default_factory=dict)
    chunks: int = 0
    chunks_refused: int = 0
    late_ms_p50: float = NAN
    late_ms_p99: float = NAN
    late_ms_max: float = NAN
    deadline_misses: int = 0
    ticks_skipped: int = 0
    scheduling: str = ''

    def __post_init__(self) -> None:
        """Check that state and mode exist."""
        _expect_one_of('state', self.state, get_args(State))
        _expect_one_of('mode', self.mode, get_args(Mode))

    def figures(self) -> dict[str, object]:
        """Return the figures by name as on ``/diagnostics``: rounded and in handy units."""
        return {
            'state': self.state,
            'mode': self.mode,
            'reason': self.reason,
            'stopped': self.stopped,
            'standstill_s': f'{self.standstill_s:.3f}',
            'seam_jump_rad': f'{self.seam_jump_rad:.4f}',
            'seam_jump_rad_p99': f'{self.seam_jump_rad_p99:.4f}',
            'seam_jump_rad_max': f'{self.seam_jump_rad_max:.4f}',
            'seam_speed_jump_rad_s_max': f'{self.seam_speed_jump_rad_s_max:.3f}',
            'interventions': self.interventions,
            'intervention_reasons': _describe_counts(self.intervention_reasons),
            'chunks': self.chunks,
            'chunks_refused': self.chunks_refused,
            'joint_age_ms': f'{self.joint_age_s * 1e3:.1f}',
            'late_ms_p50': f'{self.late_ms_p50:.3f}',
            'late_ms_p99': f'{self.late_ms_p99:.3f}',
            'late_ms_max': f'{self.late_ms_max:.3f}',
            'deadline_misses': self.deadline_misses,
            'ticks_skipped': self.ticks_skipped,
            'scheduling': self.scheduling,
        }


@dataclass(frozen=True)
class InferenceStatus:
    """How an inference node answers, and what it had time for in its last answer.

    Attributes:
        stamp_ns: Stamp of the query answered last [ns, ROS clock]; 0 before the first.
        candidates_used: Candidates of that answer before any were dropped.
        steps_used: Denoising steps of its action chunks.
        budget_s: Time that it had [s]; NaN when nothing was committed, so that there is no hurry.
        latency_a_s: Time of a query apart from its denoising, as fitted so far [s].
        latency_b_s: Time of a candidate in a denoising step [s].
        latency_c_s: Time of a denoising step apart from its candidates [s].
        jitter_s: Standard deviation of the time of such an answer from what these three predict
            [s].
        reduced: Answers since the start with fewer candidates or steps than were asked for.
        late: Answers since the start that were not ready within their time.
        answered: Queries answered.
        refused: Queries refused.
        replaced: Queries that a newer one took the place of while they waited.
        query_ms_last: Time of the last query [ms]; NaN before the first.
        query_ms_p50: Median time of the newest queries [ms].
        query_ms_p99: 99th percentile of their times [ms].
        task: What the instruction is taken for; empty when it is for nothing.
        task_similarity: How alike both are, 1 for the same words.
        oldest_stream_s: Age of the oldest newest message of a stream [s]; infinite without one.
    """

    stamp_ns: int = 0
    candidates_used: int = 0
    steps_used: int = 0
    budget_s: float = NAN
    latency_a_s: float = NAN
    latency_b_s: float = NAN
    latency_c_s: float = NAN
    jitter_s: float = NAN
    reduced: int = 0
    late: int = 0
    answered: int = 0
    refused: int = 0
    replaced: int = 0
    query_ms_last: float = NAN
    query_ms_p50: float = NAN
    query_ms_p99: float = NAN
    task: str = ''
    task_similarity: float = 0.0
    oldest_stream_s: float = math.inf

    def figures(self) -> dict[str, object]:
        """Return the figures by name as on ``/diagnostics``: rounded and in handy units."""
        return {
            'task': self.task,
            'task_similarity': f'{self.task_similarity:.2f}',
            'answered': self.answered,
            'refused': self.refused,
            'replaced': self.replaced,
            'query_ms_last': f'{self.query_ms_last:.1f}',
            'query_ms_p50': f'{self.query_ms_p50:.1f}',
            'query_ms_p99': f'{self.query_ms_p99:.1f}',
            'candidates_used': self.candidates_used,
            'steps_used': self.steps_used,
            'budget_ms': '' if math.isnan(self.budget_s) else f'{self.budget_s * 1e3:.1f}',
            'latency_a_ms': f'{self.latency_a_s * 1e3:.1f}',
            'latency_b_ms': f'{self.latency_b_s * 1e3:.2f}',
            'latency_c_ms': f'{self.latency_c_s * 1e3:.2f}',
            'jitter_ms': f'{self.jitter_s * 1e3:.1f}',
            'reduced': self.reduced,
            'late': self.late,
            'oldest_stream_ms': f'{self.oldest_stream_s * 1e3:.0f}',
        }


@dataclass(frozen=True)
class RecorderStatus:
    """What the recorder does.

    Attributes:
        state: ``recording`` while an episode is on its way into a bag, else ``idle``.
        path: Folder that the bag being recorded will have; empty while idle.
        last: What became of the last episode, for people.
        seconds: Length of the running episode [s].
        messages: Messages of it.
        n_bytes: Its size [bytes].
        free_bytes: Free space of the disk [bytes].
        stale: Streams that are too old to start an episode; empty when none is.
        task: Language instruction.
    """

    state: Literal['recording', 'idle']
    path: str = ''
    last: str = ''
    seconds: float = 0.0
    messages: int = 0
    n_bytes: int = 0
    free_bytes: int = 0
    stale: str = ''
    task: str = ''

    def __post_init__(self) -> None:
        """Check that the state exists."""
        _expect_one_of('state', self.state, ('recording', 'idle'))

    def figures(self) -> dict[str, object]:
        """Return the figures by name as on ``/diagnostics``: rounded and in handy units."""
        return {
            'state': self.state,
            'last': self.last,
            'seconds': f'{self.seconds:.1f}',
            'messages': self.messages,
            'mb': f'{self.n_bytes / 1e6:.1f}',
            'free_mb': round(self.free_bytes / 1e6),
            'stale': self.stale,
            'task': self.task,
        }


@dataclass(frozen=True)
class SimStatus:
    """How fast the simulator is.

    Attributes:
        real_time_factor: Simulated over real time since the last report.
        camera_hz: Images per second and camera since the last report [Hz].
        skipped_s: Real time that was not simulated, since the start [s].
        render_ms_p50: Median time to draw an image [ms]; NaN before the first.
    """

    real_time_factor: float
    camera_hz: float
    skipped_s: float = 0.0
    render_ms_p50: float = NAN

    def figures(self) -> dict[str, object]:
        """Return the figures by name as on ``/diagnostics``: rounded and in handy units."""
        no_image = math.isnan(self.render_ms_p50)
        return {
            'real_time_factor': f'{self.real_time_factor:.3f}',
            'camera_hz': f'{self.camera_hz:.1f}',
            'skipped_s': f'{self.skipped_s:.3f}',
            'render_ms_p50': '' if no_image else f'{self.render_ms_p50:.1f}',
        }


Status = ExecutorStatus | InferenceStatus | RecorderStatus | SimStatus


def qualified_name(namespace: str, name: str) -> str:
    """Return the name of a status on ``/diagnostics``, which all robots of a network share.

    Args:
        namespace: Namespace of the node that reports, such as ``/robot1``.
        name: Name of the status in it.
    """
    return f'{namespace}/{name}'.lstrip('/')


def to_values(status: Status) -> dict[str, str]:
    """Return the fields of a status as text that ``from_values`` reads back exactly."""
    return {
        key: json.dumps(value) if isinstance(value, Mapping) else str(value)
        for key, value in dataclasses.asdict(status).items()
    }


def from_values(cls: type[T], values: Mapping[str, str]) -> T:
    """Return the status in key-value pairs.

    Args:
        cls: Class of the status.
        values: What ``to_values`` made; further keys are ignored.

    Raises:
        ValueError: A field is missing, is no number or does not exist.
    """
    fields: dict[str, Any] = {}
    for member in dataclasses.fields(cls):
        if member.name not in values:
            msg = f'{cls.__name__} needs {member.name}, got {sorted(values)}; the sender is of '
            msg += 'another version, start all nodes from one'
            raise ValueError(msg)
        parse = PARSERS.get(str(member.type), str)
        fields[member.name] = parse(values[member.name])
    return cls(**fields)


def _describe_counts(counts: Mapping[str, int]) -> str:
    """Return what was counted as text, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ', '.join(f'{n} x {what}' for what, n in ordered)


def _expect_one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        msg = f'{what} must be one of {known}, got {value!r}'
        raise ValueError(msg)
