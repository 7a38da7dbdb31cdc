# SPDX-License-Identifier: Apache-2.0
"""What a node reports about itself, as values that other nodes decide by.

A status travels as a diagnostic_msgs/DiagnosticStatus on a topic of its own: ``to_values`` makes
its key-value pairs and ``from_values`` reads them, exactly. ``figures`` is the same status for
people, rounded and in handy units, as it stands on ``/diagnostics``; no program decides by those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from dataclasses import dataclass, field
import json
import math
from typing import Any, get_args, Literal, TypeVar

T = TypeVar('T', bound='Status')
Mode = Literal['disabled', 'playing', 'ended', 'hold', 'fault']
State = Literal['disabled', 'enabled', 'fault']
LedBy = Literal['policy', 'person']
Stage = Literal['unconfigured', 'inactive', 'active']
Phase = Literal[
    'waiting', 'disabled', 'ready', 'running', 'taken over', 'holding', 'fault', 'stopped'
]
NAN = math.nan
PARSERS: dict[str, Callable[[str], Any]] = {  # of a field of a status, by its type
    'int': int,
    'float': float,
    'bool': lambda text: text == 'True',
    'Mapping[str, int]': json.loads,
    'Mapping[str, float]': json.loads,
    'tuple[float, ...]': lambda text: tuple(json.loads(text)),
    'tuple[str, ...]': lambda text: tuple(json.loads(text)),
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
        preparing: Whether motion is about to be enabled, while drivers are being set up for it.
        enabled_ns: When motion was enabled last [ns, ROS clock]; 0 before.
        led_by: Who leads the arms: ``policy``, which is whoever sends chunks, or ``person``, by
            the leader arms.
        can_take_over: Whether a person at the leader arms can take over from the policy.
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
    preparing: bool = False
    enabled_ns: int = 0
    led_by: LedBy = 'policy'
    can_take_over: bool = False
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
        _expect_one_of('led_by', self.led_by, get_args(LedBy))

    def figures(self) -> dict[str, object]:
        """Return the figures by name as on ``/diagnostics``: rounded and in handy units."""
        return {
            'state': self.state,
            'mode': self.mode,
            'reason': self.reason,
            'stopped': self.stopped,
            'led_by': self.led_by,
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
        depth_used: Chunks that were imagined one after the other for its values.
        budget_s: Time that it had [s]; NaN when nothing was committed and N is given: no hurry.
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
        tasks: Tasks that the checkpoint knows.
        oldest_stream_s: Age of the oldest newest message of a stream [s]; infinite without one.
        stage: State of its life cycle; only ``active`` nodes answer.
    """

    stamp_ns: int = 0
    candidates_used: int = 0
    steps_used: int = 0
    depth_used: int = 0
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
    tasks: tuple[str, ...] = ()
    oldest_stream_s: float = math.inf
    stage: Stage = 'active'

    def __post_init__(self) -> None:
        """Check that the stage exists."""
        _expect_one_of('stage', self.stage, get_args(Stage))

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
            'depth_used': self.depth_used,
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
        failed: Whether it was cut, is invalid or could not be closed.
        seconds: Length of the running episode [s].
        messages: Messages of it.
        n_bytes: Its size [bytes].
        free_bytes: Free space of the disk [bytes].
        stale: Why no episode can begin: streams that are too old or of no use; empty when it can.
        task: Language instruction.
        wanted: Episodes that are wanted; 0 where nobody has said.
        done: Episodes that have their label.
        episode: Name of the ended episode that labels are for; empty where there is none.
        label: What is said of it, for people; empty while nobody has judged it.
    """

    state: Literal['recording', 'idle']
    path: str = ''
    last: str = ''
    failed: bool = False
    seconds: float = 0.0
    messages: int = 0
    n_bytes: int = 0
    free_bytes: int = 0
    stale: str = ''
    task: str = ''
    wanted: int = 0
    done: int = 0
    episode: str = ''
    label: str = ''

    def __post_init__(self) -> None:
        """Check that the state exists."""
        _expect_one_of('state', self.state, ('recording', 'idle'))

    @property
    def is_unlabelled(self) -> bool:
        """Whether an ended episode waits for its label."""
        return bool(self.episode) and not self.label

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
            'done': f'{self.done} of {self.wanted}' if self.wanted else self.done,
            'label': f'{self.episode}: {self.label or "none yet"}' if self.episode else '',
        }


@dataclass(frozen=True)
class SimStatus:
    """How fast the simulator is.

    Attributes:
        real_time_factor: Simulated over real time since the last report.
        camera_hz: Images per second and camera since the last report [Hz]; 0 if nobody listens.
        skipped_s: Real time that was not simulated, since the start [s].
        render_ms_p50: Median time to draw an image [ms]; NaN before the first.
        progress: How far the task got since the reset, 0 to 4, which is done.
    """

    real_time_factor: float
    camera_hz: float
    skipped_s: float = 0.0
    render_ms_p50: float = NAN
    progress: int = 0

    def figures(self) -> dict[str, object]:
        """Return the figures by name as on ``/diagnostics``: rounded and in handy units."""
        no_image = math.isnan(self.render_ms_p50)
        return {
            'real_time_factor': f'{self.real_time_factor:.3f}',
            'camera_hz': f'{self.camera_hz:.1f}',
            'skipped_s': f'{self.skipped_s:.3f}',
            'render_ms_p50': '' if no_image else f'{self.render_ms_p50:.1f}',
        }


@dataclass(frozen=True)
class PlannerStatus:
    """How the planner queries the policy, and what it chose last.

    Attributes:
        active: Whether it sends queries.
        stopped: Why the queries ended by themselves; empty when they did not.
        trouble: Why answers cannot be used, or are late; empty when all is well.
        queries: Queries sent since the start.
        unanswered: Those that nobody answered.
        answers_merged: Inference nodes whose answers the last plan was chosen from.
        answers_ignored: Answers that could not be used.
        candidates_rejected: Candidates that would have come too near to something.
        query_ms_p50: Median time from a query to its answer [ms].
        query_ms_p99: 99th percentile of that [ms].
        committed_rows: Rows that the query of the last plan committed to.
        delay_rows: How many had passed when its answer came.
        mismatch_rad: How far the arms were commanded from them meanwhile [rad]; NaN where no
            command tells.
        value: Score of the chosen candidate; NaN before the first plan, and of a policy that has
            no value.
        best: Which one it is; -1 before.
        scores: Scores of all candidates; none of such a policy.
        plans: Plans since the start.
        choices: Those of them that chose another candidate than the first.
        is_choice: Whether the last plan did; otherwise there was no choice: no other plan was
            better by more than the ensemble is unsure of.
        margin: How much higher the best score was than that of the first candidate.
        deviation: How much the ensemble is unsure of that; NaN where the first was best.
        apart_m: Largest distance of a candidate from the first at the tools [m]; NaN without a
            scene.
        speed_scale: Share of its own speed at which the policy moves the arms.
    """

    active: bool
    stopped: str = ''
    trouble: str = ''
    queries: int = 0
    unanswered: int = 0
    answers_merged: int = 0
    answers_ignored: int = 0
    candidates_rejected: int = 0
    query_ms_p50: float = NAN
    query_ms_p99: float = NAN
    committed_rows: int = 0
    delay_rows: float = 0.0
    mismatch_rad: float = NAN
    value: float = NAN
    best: int = -1
    scores: tuple[float, ...] = ()
    plans: int = 0
    choices: int = 0
    is_choice: bool = False
    margin: float = NAN
    deviation: float = NAN
    apart_m: float = NAN
    speed_scale: float = 1.0

    def figures(self) -> dict[str, object]:
        """Return the figures by name as on ``/diagnostics``: rounded and in handy units."""
        return {
            'queries': self.queries,
            'unanswered': self.unanswered,
            'answers_merged': self.answers_merged,
            'answers_ignored': self.answers_ignored,
            'candidates_rejected': self.candidates_rejected,
            'query_ms_p50': f'{self.query_ms_p50:.1f}',
            'query_ms_p99': f'{self.query_ms_p99:.1f}',
            'committed_rows': self.committed_rows,
            'delay_rows': f'{self.delay_rows:.1f}',
            'mismatch_rad': _known(self.mismatch_rad),
            'value': _known(self.value),
            'best': '' if self.best < 0 else self.best,
            'scores': ' '.join(f'{score:.3f}' for score in self.scores),
            'choice': describe_choice(self.is_choice, self.scores),
            'choices': f'{self.choices} of {self.plans}',
            'margin': _known(self.margin),
            'deviation': _known(self.deviation),
            'apart_mm': '' if math.isnan(self.apart_m) else f'{self.apart_m * 1e3:.1f}',
            'speed_scale': f'{self.speed_scale:.2f}',
        }


@dataclass(frozen=True)
class ImaginationStatus:
    """How far the world was from what the policy imagined, when its last chunk had been played.

    Attributes:
        due_ns: The instant that was imagined [ns, ROS clock]; 0 before the first.
        joint_rad: Largest difference over the arm joints [rad]; NaN where it is not known.
        image_errors: Camera -> mean absolute difference of the images, 0 to 255.
        image_excess: Camera -> how much farther off that is than what the camera showed when the
            prediction was made; above 0 the imagination was worse than none.
        compared: Chunks that were compared since the start.
        warnings: How often the world began to be another since the start.
        warning: What is far off now, for people; empty when nothing is.
    """

    due_ns: int = 0
    joint_rad: float = NAN
    image_errors: Mapping[str, float] = field(default_factory=dict)
    image_excess: Mapping[str, float] = field(default_factory=dict)
    compared: int = 0
    warnings: int = 0
    warning: str = ''

    def figures(self) -> dict[str, object]:
        """Return the figures by name as on ``/diagnostics``: rounded and in handy units."""
        errors = {f'image_error_{c}': f'{e:.1f}' for c, e in self.image_errors.items()}
        excess = {f'image_excess_{c}': f'{e:.1f}' for c, e in self.image_excess.items()}
        return {
            'joint_rad': _known(self.joint_rad),
            **errors,
            **excess,
            'compared': self.compared,
            'warnings': self.warnings,
        }


@dataclass(frozen=True)
class PolicyStatus:
    """The whole stack in one status, as far as its nodes report.

    Attributes:
        phase: What the stack does: ``waiting`` (a node that is needed does not report),
            ``disabled``, ``ready`` (motion is allowed, nothing is asked of the policy),
            ``running``, ``taken over`` (a person leads), ``holding``, ``fault`` or ``stopped``
            (emergency stop).
        reason: Why it is not running, or what is not well while it is; empty when all is well.
        task: What the instruction is taken for.
        episode: Folder of the episode that is being recorded; empty when none is.
        episode_s: Its length until now [s].
        value: Score of the chosen candidate; NaN before the first plan, and of a policy that has
            no value.
        scores: Scores of all candidates; none of such a policy.
        is_choice: Whether another candidate than the first was chosen.
        candidates_used: Candidates of the last answer.
        steps_used: Denoising steps of its action chunks.
        depth_used: Chunks that were imagined one after the other for its values.
        budget_s: Time that it had [s]; NaN without committed rows where N is given.
        query_ms_p50: Median time from a query to its answer [ms].
        query_ms_p99: 99th percentile of that [ms].
        committed_rows: Rows that the query of the last plan committed to.
        delay_rows: How many had passed when its answer came.
        seam_jump_rad: Seam jump of the newest chunk [rad].
        seam_jump_rad_max: Largest seam jump since enabling [rad].
        standstill_s: Time without rows to play since the first chunk [s].
        interventions: Ticks since enabling whose target safety changed.
        joint_age_s: Age of the oldest arm's joint state [s].
        late_ms_p99: 99th percentile of the lateness of commands [ms].
        imagination: What the world does not do as it was imagined; empty when nothing.
        silent: Nodes that have reported once and report no more.
    """

    phase: Phase
    reason: str = ''
    task: str = ''
    episode: str = ''
    episode_s: float = 0.0
    value: float = NAN
    scores: tuple[float, ...] = ()
    is_choice: bool = False
    candidates_used: int = 0
    steps_used: int = 0
    depth_used: int = 0
    budget_s: float = NAN
    query_ms_p50: float = NAN
    query_ms_p99: float = NAN
    committed_rows: int = 0
    delay_rows: float = 0.0
    seam_jump_rad: float = 0.0
    seam_jump_rad_max: float = 0.0
    standstill_s: float = 0.0
    interventions: int = 0
    joint_age_s: float = math.inf
    late_ms_p99: float = NAN
    imagination: str = ''
    silent: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the phase exists."""
        _expect_one_of('phase', self.phase, get_args(Phase))

    def figures(self) -> dict[str, object]:
        """Return the figures by name as on ``/diagnostics``: rounded and in handy units."""
        return {
            'phase': self.phase,
            'reason': self.reason,
            'task': self.task,
            'episode': self.episode,
            'episode_s': f'{self.episode_s:.1f}',
            'value': _known(self.value),
            'scores': ' '.join(f'{score:.3f}' for score in self.scores),
            'choice': describe_choice(self.is_choice, self.scores),
            'candidates_used': self.candidates_used,
            'steps_used': self.steps_used,
            'depth_used': self.depth_used,
            'budget_ms': '' if math.isnan(self.budget_s) else f'{self.budget_s * 1e3:.1f}',
            'query_ms_p50': f'{self.query_ms_p50:.1f}',
            'query_ms_p99': f'{self.query_ms_p99:.1f}',
            'committed_rows': self.committed_rows,
            'delay_rows': f'{self.delay_rows:.1f}',
            'seam_jump_rad': f'{self.seam_jump_rad:.4f}',
            'seam_jump_rad_max': f'{self.seam_jump_rad_max:.4f}',
            'standstill_s': f'{self.standstill_s:.3f}',
            'interventions': self.interventions,
            'joint_age_ms': f'{self.joint_age_s * 1e3:.1f}',
            'late_ms_p99': f'{self.late_ms_p99:.3f}',
            'imagination': self.imagination,
            'silent': ', '.join(self.silent),
        }


Status = (
    ExecutorStatus
    | PlannerStatus
    | InferenceStatus
    | RecorderStatus
    | SimStatus
    | ImaginationStatus
    | PolicyStatus
)


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
        key: json.dumps(value) if isinstance(value, Mapping | tuple) else str(value)
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


def describe_choice(is_choice: bool, scores: Sequence[float]) -> str:
    """Return whether there was one among candidates, for people; empty without any to choose from.

    Args:
        is_choice: Whether another candidate than the first was chosen.
        scores: Scores of all candidates.
    """
    if len(scores) < 2:
        return ''
    return 'chosen' if is_choice else 'no choice'


def _known(number: float) -> str:
    """Return a number as text, empty where it is not known."""
    return '' if math.isnan(number) else f'{number:.3f}'


def _describe_counts(counts: Mapping[str, int]) -> str:
    """Return what was counted as text, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ', '.join(f'{n} x {what}' for what, n in ordered)


def _expect_one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        msg = f'{what} must be one of {known}, got {value!r}'
        raise ValueError(msg)
