# SPDX-License-Identifier: Apache-2.0
"""The values that travel between the layers, checked when they are built.

Shape letters: N candidates, M futures, K values, H horizon, A action size, P proprio size,
S ticks of an episode. Joint order everywhere: the arms in the order of the robot file, each
followed by its gripper, as in ``RobotSpec.joint_names``; for ALOHA ``[left arm 6, left gripper,
right arm 6, right gripper]``. Joints in radians, grippers 0 closed … 1 open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
import math
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

MOST_PROGRESS = 4  # how far a task gets, where a person judges it in steps: done


class Intrinsics(NamedTuple):
    """How a camera projects: a pinhole, and what its lens bends.

    Attributes:
        fx: Focal length along a row [px].
        fy: Focal length along a column [px].
        cx: Column of the principal point [px].
        cy: Row of the principal point [px].
        distortion: Coefficients k1, k2, p1, p2, k3 of the plumb-bob model.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = (0.0,) * 5


class ConfigError(ValueError):
    """A robot YAML, checkpoint or parameter mistake that a user can fix."""


class Images(Protocol):
    """(U, height, width, 3) uint8 RGB images in order: an array, or what reads them when asked.

    Attributes:
        shape: As of an array.
        dtype: uint8.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(U, height, width, 3)."""

    @property
    def dtype(self) -> Any:
        """uint8."""

    def __len__(self) -> int:
        """U."""

    def __iter__(self) -> Iterator[Any]:
        """Yield every (height, width, 3) image in order."""

    def __getitem__(self, index: Any, /) -> Any:
        """Return one image, or those of a slice or an array of rising numbers."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Images, joints and task of the robot at one instant.

    Attributes:
        stamp_ns: Sensing time [ns, ROS clock].
        images: Camera name -> (height, width, 3) uint8 RGB.
        proprio: (P,) float32 measured joints [rad; gripper 0..1].
        task: Language instruction.
        committed: (D, A) float32 committed rows: joint targets that will be played whatever comes
            of this observation, on the grid of the policy's action rows with row 0 due at
            ``stamp_ns`` [rad; gripper 0..1]. None and no rows both commit to nothing.
    """

    stamp_ns: int
    images: dict[str, NDArray[np.uint8]]
    proprio: NDArray[np.float32]
    task: str
    committed: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Check shapes, dtypes and finiteness."""
        for name, image in self.images.items():
            _expect(image, f'image {name!r}', (None, None, 3), np.uint8)
        _expect(self.proprio, 'proprio', (None,), np.float32)
        if self.committed is not None:
            _expect(self.committed, 'committed rows', (None, None), np.float32)


@dataclass(frozen=True, slots=True)
class ActionChunk:
    """H joint targets with a time of their own.

    Attributes:
        stamp_ns: When ``positions[0]`` is due [ns, ROS clock].
        positions: (H, A) float32 absolute targets [rad; gripper 0..1].
        rate_hz: Spacing of the rows [Hz].
    """

    stamp_ns: int
    positions: NDArray[np.float32]
    rate_hz: float

    def __post_init__(self) -> None:
        """Check shape, dtype, finiteness and rate."""
        _expect(self.positions, 'action chunk', (None, None), np.float32)
        if not (np.isfinite(self.rate_hz) and self.rate_hz > 0):
            msg = f'action chunk rate must be a positive number of Hz, got {self.rate_hz}'
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Candidates:
    """N action chunks for one query, with the predicted values and joints of each.

    Candidates that a pruned search dropped are left out: they have no action, only an estimate.

    Attributes:
        stamp_ns: The query they answer; row 0 is due then [ns, ROS clock].
        positions: (N, H, A) float32 absolute targets [rad; gripper 0..1].
        values: (N, max(M, 1) * max(K, 1)) float32 ensemble members in [0, 1]; a query without
            futures and values of their own has one, denoised together with the action. (N, 0) of a
            policy that has no value.
        future_proprio: (N, P) float32 predicted joints after the chunk [rad; gripper 0..1]; (N, 0)
            of a policy that predicts none.
        future_images: Camera name -> (N, height, width, 3) uint8 RGB; empty where they were not
            decoded.
    """

    stamp_ns: int
    positions: NDArray[np.float32]
    values: NDArray[np.float32]
    future_proprio: NDArray[np.float32]
    future_images: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check shapes, dtypes and that all parts have the same N."""
        _expect(self.positions, 'candidate positions', (None, None, None), np.float32)
        n = self.positions.shape[0]
        _expect(self.values, 'candidate values', (n, None), np.float32)
        _expect(self.future_proprio, 'candidate future proprio', (n, None), np.float32)
        for name, images in self.future_images.items():
            _expect(images, f'future image {name!r}', (n, None, None, 3), np.uint8)

    @property
    def mean_values(self) -> NDArray[np.float64]:
        """(N,) float64 mean of the ensemble members; NaN where the policy has no value."""
        if not self.values.shape[1]:
            return np.full(len(self.values), np.nan)
        return np.asarray(self.values.astype(np.float64).mean(axis=1))


def find_played(
    answers: Iterable[Candidates], rows: NDArray[np.floating]
) -> tuple[int | None, float]:
    """Return which candidate a chunk was made of, and how far it is from that at most.

    Where a policy is played in the open loop, a chunk is the first rows of its candidate.

    Args:
        answers: Those to the query of the chunk.
        rows: (R, A) positions of the chunk [rad; gripper 0..1].

    Returns:
        Its number over all answers, and the largest difference [rad; gripper 0..1]; None and
        infinity where none has these joints and as many rows.
    """
    best, least = None, math.inf
    for i, candidate in enumerate(c for answer in answers for c in answer.positions):
        played = candidate[: len(rows)]
        if played.shape == rows.shape and rows.size:
            apart = float(np.abs(played - rows).max())
            best, least = (i, apart) if apart < least else (best, least)
    return best, least


@dataclass(frozen=True, slots=True)
class Plan:
    """The chosen candidate.

    Attributes:
        chunk: The action chunk for the executor.
        scores: (N,) float32 aggregated values in [0, 1]; NaN where the policy has no value.
        best: Index of the chosen candidate.
        is_choice: Whether another candidate than the first was chosen.
        margin: How much higher the best score is than that of the first.
        deviation: How much the ensemble is unsure of that margin; NaN where the first is best.
        apart_m: Largest distance of a candidate from the first at the tools [m]; NaN where the
            robot has no scene to find it in.
    """

    chunk: ActionChunk
    scores: NDArray[np.float32]
    best: int
    is_choice: bool = False
    margin: float = 0.0
    deviation: float = math.nan
    apart_m: float = math.nan


@dataclass(frozen=True, slots=True)
class JointCommand:
    """Joint targets that were really sent to the motors.

    Attributes:
        stamp_ns: Time of sending [ns, ROS clock].
        positions: (A,) float32 after safety [rad; gripper 0..1].
        status: ``ok`` untouched, ``limited`` by a limit, ``hold`` pose kept, ``fault`` latched.
    """

    stamp_ns: int
    positions: NDArray[np.float32]
    status: Literal['ok', 'limited', 'hold', 'fault']

    def __post_init__(self) -> None:
        """Check shape, dtype and finiteness."""
        _expect(self.positions, 'joint command', (None,), np.float32)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Who recorded an episode, where and with what, under the names that data sets share.

    The names are those of bags (custom data), HDF5 files (attributes) and LeRobot data sets
    (columns of ``meta/episodes``); ``success`` and the spans of ``human_intervention`` go with
    them and are fields of an Episode. None where nobody said.

    Attributes:
        operator_id: Who operated the robot or watched it.
        station_id: Where the robot stands, such as a cell or a table.
        robot_id: The very robot, where several are of one kind.
        is_eval_episode: Whether it was recorded to measure a policy.
        checkpoint: The policy that acted: hash of its folder, or its name.
        progress: How far the task got, 0 not at all to 1 done.
        failure: A word for what went wrong, such as ``dropped``.
        note: What else is worth knowing.
    """

    operator_id: str | None = None
    station_id: str | None = None
    robot_id: str | None = None
    is_eval_episode: bool | None = None
    checkpoint: str | None = None
    progress: float | None = None
    failure: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        """Check that progress is a share."""
        if self.progress is not None and not 0.0 <= self.progress <= 1.0:
            msg = f'progress must be 0 to 1, got {self.progress}'
            raise ValueError(msg)

    @property
    def known(self) -> dict[str, str | bool | float]:
        """Name -> value of what somebody said."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Judgement:
    """What a person saw of an episode.

    Attributes:
        success: Whether the task was done.
        progress: How far it got, 0 (nothing) to ``MOST_PROGRESS`` (done).
        failure: A word for what went wrong, such as ``dropped``; empty for nothing.
        note: What else is worth knowing.
    """

    success: bool
    progress: int
    failure: str = ''
    note: str = ''

    def __post_init__(self) -> None:
        """Check that the judgement agrees with itself.

        Raises:
            ConfigError: Progress is out of range, or a success is not whole or has failed.
        """
        if self.progress not in range(MOST_PROGRESS + 1):
            msg = f'progress must be 0 to {MOST_PROGRESS}, got {self.progress}'
            raise ConfigError(msg)
        if self.success != (self.progress == MOST_PROGRESS) or (self.success and self.failure):
            msg = (
                f'success is progress {MOST_PROGRESS} without a failure, got success '
                f'{self.success}, progress {self.progress}, failure {self.failure!r}'
            )
            raise ConfigError(msg)

    @property
    def labels(self) -> dict[str, str | bool | float]:
        """Name -> value as episodes keep it: ``success`` and names of ``Circumstances``."""
        return {
            'success': self.success,
            'progress': self.progress / MOST_PROGRESS,
            'failure': self.failure,
            'note': self.note,
        }


@dataclass(frozen=True, slots=True)
class Episode:
    """One attempt at a task on a fixed-rate grid of S ticks.

    Attributes:
        source: ``demo`` by a human or script, ``rollout`` by a policy or a sloppy expert.
        task: Language instruction.
        success: Outcome, None when nobody judged it.
        rate_hz: Tick rate [Hz].
        stamps_ns: (S,) int64 tick times [ns, ROS clock].
        images: Camera name -> (U, height, width, 3) uint8 RGB, each distinct image once; those of
            long recordings are read when they are looked at.
        image_index: Camera name -> (S,) int64 row of ``images`` that was newest at each tick.
        proprio: (S, P) float32 measured joints [rad; gripper 0..1].
        actions: (S, A) float32 joint targets really sent [rad; gripper 0..1].
        expert: (S,) bool, False where the action was a disturbance nobody shall imitate.
        human_intervention: (S,) bool, True where a person acted in place of the policy.
        velocity: (S, P) float32 measured joint velocities [rad/s; gripper: of its 0..1 opening,
            1/s], None where the recording does not hold them for every arm and tick.
        effort: (S, P) float32 joint efforts in the unit of the driver, None as for ``velocity``.
        circumstances: Who recorded it, where and with what.
    """

    source: Literal['demo', 'rollout']
    task: str
    success: bool | None
    rate_hz: float
    stamps_ns: NDArray[np.int64]
    images: dict[str, Images]
    image_index: dict[str, NDArray[np.int64]]
    proprio: NDArray[np.float32]
    actions: NDArray[np.float32]
    expert: NDArray[np.bool_]
    human_intervention: NDArray[np.bool_]
    velocity: NDArray[np.float32] | None = None
    effort: NDArray[np.float32] | None = None
    circumstances: Circumstances = field(default_factory=Circumstances)

    def __post_init__(self) -> None:
        """Check shapes, dtypes and that every stream has S ticks."""
        _expect(self.stamps_ns, 'episode stamps', (None,), np.int64)
        s = len(self.stamps_ns)
        _expect(self.proprio, 'episode proprio', (s, None), np.float32)
        _expect(self.actions, 'episode actions', (s, None), np.float32)
        _expect(self.expert, 'episode expert flags', (s,), np.bool_)
        _expect(self.human_intervention, 'episode human_intervention', (s,), np.bool_)
        for name, rows in (('velocity', self.velocity), ('effort', self.effort)):
            if rows is not None:
                _expect(rows, f'episode {name}', self.proprio.shape, np.float32)
        for name, images in self.images.items():
            _expect(images, f'episode images {name!r}', (None, None, None, 3), np.uint8)
            _expect(self.image_index[name], f'episode image index {name!r}', (s,), np.int64)


def _expect(array: Any, what: str, shape: tuple[int | None, ...], dtype: DTypeLike) -> None:
    """Check an array's shape (None = any), dtype and, for floats, finiteness.

    Raises:
        TypeError: The dtype is another.
        ValueError: The shape is another, or a number is NaN or infinite.
    """
    if array.dtype != dtype:
        msg = f'{what} must be {np.dtype(dtype).name}, got {array.dtype.name}'
        raise TypeError(msg)
    sizes_match = all(want in (None, got) for want, got in zip(shape, array.shape, strict=False))
    if len(array.shape) != len(shape) or not sizes_match:
        wanted = '(' + ', '.join('any' if n is None else str(n) for n in shape) + ')'
        msg = f'{what} must have shape {wanted}, got {array.shape}'
        raise ValueError(msg)
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        n = int((~np.isfinite(array)).sum())
        msg = f'{what} must be finite, got {n} NaN or infinite numbers'
        raise ValueError(msg)
