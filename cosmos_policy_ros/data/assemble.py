# SPDX-License-Identifier: Apache-2.0
"""An ``Episode`` from the rows and labels of a data set, and from labels that a person adds.

Bags hold messages, HDF5 files and LeRobot data sets hold rows: one of every stream at every tick.
Both row formats come through here, so that they name cameras alike and refuse the same gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
import logging
from typing import Any, Literal

from cosmos_policy_ros.align import implausible, JUMP_MARGIN_RAD, tick_grid
from cosmos_policy_ros.data.units import suggest_units, to_radians, TURN_RAD, Units
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import Circumstances, Episode, Images
import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)
BASE = 2  # columns of a mobile base behind those of the arms: forward and turning speed
FASTEST_HZ, LATEST_NS = 1e4, 2**62  # of what an episode can be
# Beyond which a gripper is in another unit; worn ones leave 0 to 1 a little.
OPENINGS = (-1.0, 2.0)
CAMERA_PREFIX = 'cam_'  # ALOHA's camera ``cam_high`` is ``high`` in our robot files


@dataclass(frozen=True)
class Labels:
    """The labels of an episode, which are not in its rows; None where they are not known.

    Attributes:
        task: Language instruction.
        source: ``demo`` or ``rollout``.
        success: Outcome.
        rate_hz: Rows per second [Hz].
        start_ns: Time of row 0 [ns, ROS clock].
        robot: Name in the robot file.
        circumstances: Who recorded it, where and with what.
    """

    task: str | None = None
    source: Literal['demo', 'rollout'] | None = None
    success: bool | None = None
    rate_hz: float | None = None
    start_ns: int | None = None
    robot: str | None = None
    circumstances: Circumstances = field(default_factory=Circumstances)

    def completed(self, other: Labels) -> Labels:
        """Return these labels, with those of another where they are not known."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(other, **{name: v for name, v in values.items() if v is not None})


@dataclass(frozen=True)
class Rows:
    """The S rows of an episode.

    Attributes:
        proprio: (S, P) measured joints [rad; gripper 0..1], or what else the robot file names.
        actions: (S, A) joint targets [rad; gripper 0..1], or displacements of a hand.
        expert: (S,) bool, or None where the file has none; then every row is one to imitate.
        human_intervention: (S,) bool, or None where the file has none; then nobody intervened.
        images: Camera name -> (U, height, width, 3) uint8 RGB.
        image_index: Camera name -> (S,) rows of ``images``.
        velocity: (S, P) float32 as in an Episode, or None, see ``velocity_effort.check_rows``.
        effort: The same.
    """

    proprio: NDArray[np.floating]
    actions: NDArray[np.floating]
    expert: NDArray[np.bool_] | None
    images: Mapping[str, Images]
    image_index: Mapping[str, NDArray[np.int64]]
    velocity: NDArray[np.float32] | None = None
    effort: NDArray[np.float32] | None = None
    human_intervention: NDArray[np.bool_] | None = None


def read_circumstances(stored: Mapping[str, Any], where: str) -> Circumstances:
    """Return what is stored with an episode about its circumstances.

    A value that cannot be is left out with one line: nobody learns from these, so that a recording
    of others is not refused for them.

    Args:
        stored: Name -> value, as text or as it is; unknown names and empty texts are passed over.
        where: Episode, for the log.
    """
    found: dict[str, Any] = {}
    for name, read in _CIRCUMSTANCES.items():
        if (value := stored.get(name)) is None or str(value) == '':
            continue
        try:
            found |= Circumstances(**{name: read(value)}).known
        except (ValueError, TypeError) as error:
            logger.warning('%s: %s is left out: %s', where, name, error)
    return Circumstances(**found)


def read_source(value: Any) -> Literal['demo', 'rollout'] | None:
    """Return where an episode comes from; None for what other recorders mean by the word."""
    known: dict[Any, Literal['demo', 'rollout']] = {'demo': 'demo', 'rollout': 'rollout'}
    return known.get(value) if isinstance(value, str) else None


def read_flag(value: Any, name: str = '') -> bool:
    """Return a truth that may be stored as a number or as text, where ``bool('False')`` is true.

    Args:
        value: What is stored.
        name: What it is called, for messages.

    Raises:
        ValueError: It is neither true nor false.
    """
    known = {'true': True, 'false': False, '1': True, '0': False, '1.0': True, '0.0': False}
    if str(value).lower() not in known:
        msg = f"{name and f'{name}: '}expected 'true' or 'false', got {value!r}"
        raise ValueError(msg)
    return known[str(value).lower()]


_CIRCUMSTANCES: dict[str, Callable[[Any], Any]] = {
    'operator_id': str,
    'station_id': str,
    'robot_id': str,
    'is_eval_episode': read_flag,
    'checkpoint': str,
    'progress': float,
    'failure': str,
    'note': str,
}


def camera_key(name: str) -> str:
    """Return the name of a camera of the robot file in ALOHA data sets."""
    return name if name.startswith(CAMERA_PREFIX) else CAMERA_PREFIX + name


def find_cameras(
    robot: RobotSpec, keys: Iterable[str], where: str, named: Mapping[str, str]
) -> dict[str, str]:
    """Return camera name of the robot file -> key in the data set.

    Args:
        robot: Cameras wanted.
        keys: What the data set has.
        where: Episode and place, for messages.
        named: Topic of the robot file -> key of a camera that has another name.

    Raises:
        ValueError: A camera is missing, or two are one and the same.
    """
    there = sorted(keys)
    found = {
        c.name: k
        for c in robot.cameras
        for k in ([named[c.topic]] if c.topic in named else [c.name, camera_key(c.name)])
        if k in there
    }
    for key in found.values():
        sharing = [name for name, mine in found.items() if mine == key]
        if len(sharing) > 1:
            both = ' and '.join(sharing)
            msg = f'{both} would both be camera {key} of {where}; it has {there}, one each is '
            msg += 'expected: --map NAME=CAMERA says which'
            raise ValueError(msg)
    missing = [
        named.get(c.topic, camera_key(c.name)) for c in robot.cameras if c.name not in found
    ]
    if missing:
        msg = f'no camera {", ".join(missing)} in {where}; it has {there}; one of another name: '
        msg += '--map NAME=CAMERA'
        raise ValueError(msg)
    unknown = sorted(set(there) - set(found.values()))
    if unknown:
        logger.warning('%s: cameras %s are not in the robot file and left out', where, unknown)
    return found


def assemble(
    rows: Rows,
    labels: Labels,
    robot: RobotSpec,
    other_robot: bool = False,
    units: Units | None = None,
) -> Episode:
    """Return the episode that rows and labels make.

    Args:
        rows: What was recorded.
        labels: What is known about it.
        robot: Robot of the rows.
        other_robot: Whether the rows may be of a robot of another name.
        units: Those of joints and actions where they are others; velocities are left out then.

    Raises:
        ValueError: A label is missing or of another robot, the rows have another width than the
            robot, differ in number, hold a NaN, or, of a robot that takes joint targets, a motion
            that no arm can make or a gripper in another unit; units are given for another robot.
    """
    refuse_other_robot(labels, robot, other_robot)
    refuse_no_rows(len(rows.proprio))
    groups = (
        ('proprio', rows.proprio, robot.proprio_names),
        ('actions', rows.actions, robot.joint_names),
    )
    for name, array, numbers in groups:
        if array.ndim != 2 or array.shape[1] != len(numbers):
            what = 'joints' if robot.actions == 'joint_targets' else 'numbers'
            msg = f'{name} of shape {array.shape} do not fit the {len(numbers)} {what} of the '
            msg += 'robot'
            if array.shape[1:] == (robot.size + BASE,) and not robot.proprio:
                msg += f'; where the last {BASE} are those of a mobile base: --drop base'
            raise ValueError(msg)
        if array.dtype.kind not in 'fiu':
            msg = f'{name} are of type {array.dtype}, numbers are expected'
            raise ValueError(msg)
    for name in ('task', 'source'):
        if getattr(labels, name) is None:
            msg = f'it has no {name}; give it with --{name}'
            raise ValueError(msg)
    n, rate_hz, start_ns = len(rows.proprio), labels.rate_hz or 0.0, labels.start_ns or 0
    if not (0 < rate_hz <= FASTEST_HZ and 0 <= start_ns < LATEST_NS):
        msg = f'{rate_hz:g} rows per second from {start_ns} ns on cannot be'
        raise ValueError(msg)
    if len(rows.actions) != n:
        msg = f'it has {len(rows.actions)} rows of actions and {n} of measured joints'
        raise ValueError(msg)
    for name, array, numbers in groups:
        if len(bad := np.argwhere(~np.isfinite(array))):
            row, number = bad[0].tolist()
            msg = f'{name} must be finite, got {len(bad)} NaN or infinite numbers, the first in '
            msg += f'row {row}, {row / rate_hz:.2f} s: {numbers[number]}'
            raise ValueError(msg)
    if units is not None:
        if robot.actions != 'joint_targets':
            msg = f'--units {units} is for joints, the actions of this robot are {robot.actions}'
            raise ValueError(msg)
        rows = replace(
            rows,
            proprio=to_radians(rows.proprio, units, robot),
            actions=to_radians(rows.actions, units, robot),
            velocity=None,
        )
    if robot.actions == 'joint_targets':  # a hand that is displaced has no limits of joints
        check_units(rows.proprio, rows.actions, robot, rate_hz)
        check_motion(rows.proprio, robot, rate_hz)
    expert = np.ones(n, dtype=np.bool_) if rows.expert is None else rows.expert
    intervened = rows.human_intervention
    intervened = np.zeros(n, dtype=np.bool_) if intervened is None else intervened
    return Episode(
        source='demo' if labels.source == 'demo' else 'rollout',
        task=labels.task or '',
        success=labels.success,
        rate_hz=rate_hz,
        stamps_ns=row_stamps(start_ns, n, rate_hz),
        images=dict(rows.images),
        image_index={name: index.astype(np.int64) for name, index in rows.image_index.items()},
        proprio=rows.proprio.astype(np.float32),
        actions=rows.actions.astype(np.float32),
        expert=expert.astype(np.bool_),
        human_intervention=intervened.astype(np.bool_),
        velocity=rows.velocity,
        effort=rows.effort,
        circumstances=labels.circumstances,
    )


def check_units(
    proprio: NDArray[np.floating],
    actions: NDArray[np.floating],
    robot: RobotSpec,
    rate_hz: float,
    of_bag: bool = False,
) -> None:
    """Refuse joints and grippers in other units, such as degrees and per cent.

    Args:
        proprio: (S, P) measured joints [rad; gripper 0..1].
        actions: (S, A) joint targets [rad; gripper 0..1].
        robot: Which of them are grippers, and the limits of the others.
        rate_hz: Rows per second [Hz].
        of_bag: Whether they are of a bag, for which ``--units`` is not taken.

    Raises:
        ValueError: An opening is far outside of 0 to 1, or a joint beyond ``TURN_RAD`` and its
            limits; names it, the row and its time.
    """
    turns = np.maximum(TURN_RAD, np.maximum(-robot.lower, robot.upper) + JUMP_MARGIN_RAD)
    for name, array in (('proprio', proprio), ('actions', actions)):
        open_far = ((array < OPENINGS[0]) | (array > OPENINGS[1])) & ~robot.arm_joints
        turned_far = (np.abs(array) > turns) & robot.arm_joints
        for far, wanted in (
            (open_far, 'openings of 0 (closed) to 1 (open) are'),
            (turned_far, 'radians are'),
        ):
            if far.any():
                row, joint = np.argwhere(far)[0].tolist()
                msg = f'{name}: {robot.joint_names[joint]} is {array[row, joint]:g} in row {row}, '
                msg += f'{row / rate_hz:.2f} s; {wanted} expected'
                msg += '' if of_bag else suggest_units(array, robot)
                raise ValueError(msg)


def refuse_other_robot(labels: Labels, robot: RobotSpec, allowed: bool) -> None:
    """Refuse an episode of a robot of another name than the robot file's.

    Args:
        labels: What is known about the episode.
        robot: What the robot file says.
        allowed: Whether it may have another name.

    Raises:
        ValueError: It has; names both, and the options that help.
    """
    if labels.robot not in (None, robot.name) and not allowed:
        msg = (
            f'it is of robot {labels.robot!r}, the robot file is of {robot.name!r}; give the file '
            'of the robot with --robot, or --robot-type-ok where the joints are the same'
        )
        raise ValueError(msg)


def check_motion(proprio: NDArray[np.floating], robot: RobotSpec, rate_hz: float) -> None:
    """Refuse measured joints between which no arm can have moved.

    Args:
        proprio: (S, P) measured joints [rad; gripper 0..1].
        robot: Limits of the arms.
        rate_hz: Rows per second [Hz].

    Raises:
        ValueError: A joint jumps; names row, joint and jump.
    """
    poses = proprio.astype(np.float32)
    steps = np.abs(np.diff(poses, axis=0))
    slow = robot.max_speed[robot.arm_joints] / rate_hz  # most of any arm that needs no closer look
    for row in np.flatnonzero((steps[:, robot.arm_joints] > slow).any(axis=1)) + 1:
        for arm, mine in zip(robot.arms, robot.arm_slices, strict=True):
            reason = implausible(arm, poses[row, mine], poses[row - 1, mine], 1 / rate_hz)
            if reason:
                msg = f'row {row}, {row / rate_hz:.2f} s: {reason}{suggest_units(poses, robot)}'
                if not poses[row:].any():
                    msg += '; rows of zeros behind the end are left out by --drop padding'
                raise ValueError(msg)


def next_as_actions(episode: Episode) -> Episode:
    """Return an episode whose actions are the measured joints one row later; its last has none.

    Raises:
        ValueError: It has one row.
    """
    n = len(episode.actions)
    if n < 2:
        msg = 'it has one row, whose action would be the next one: --actions state-next'
        raise ValueError(msg)
    return replace(pick_ticks(episode, np.arange(n - 1)), actions=episode.proprio[1:])


def refuse_no_rows(n: int) -> None:
    """Refuse an episode without a row.

    Raises:
        ValueError: It has none.
    """
    if not n:
        msg = 'it has no rows, as of a recorder that was stopped at once; one at least is expected'
        raise ValueError(msg)


def used_rows(proprio: NDArray[np.floating], actions: NDArray[np.floating]) -> int:
    """Return the number of rows before those of zeros that pad a file to a fixed length."""
    moved = np.flatnonzero(proprio.any(axis=1) | actions.any(axis=1))
    return int(moved[-1]) + 1 if len(moved) else 0


def row_stamps(start_ns: int, n: int, rate_hz: float) -> NDArray[np.int64]:
    """Return the (n,) int64 stamps of rows that follow each other at a rate [ns]."""
    return tick_grid(start_ns, start_ns + round((n - 1) * 1e9 / rate_hz), rate_hz)


def distinct(index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (U,) the first tick of every image of a (S,) index, and (S,) the index from 0 on."""
    _, first, counted = np.unique(index, return_index=True, return_inverse=True)
    return first.astype(np.int64), counted.astype(np.int64)


def at_rate(episode: Episode, rate_hz: float) -> Episode:
    """Return the episode on a slower tick grid: at every tick its newest row.

    Raises:
        ValueError: The rate is higher than the episode's; rows are not made up.
    """
    if rate_hz == episode.rate_hz:
        return episode
    if rate_hz > episode.rate_hz:
        msg = f'it has {episode.rate_hz:g} rows per second, {rate_hz:g} are wanted'
        raise ValueError(msg)
    stamps = tick_grid(int(episode.stamps_ns[0]), int(episode.stamps_ns[-1]), rate_hz)
    picks = np.searchsorted(episode.stamps_ns, stamps, side='right') - 1
    return replace(pick_ticks(episode, picks), rate_hz=rate_hz, stamps_ns=stamps)


def pick_ticks(episode: Episode, picks: NDArray[np.int64]) -> Episode:
    """Return the episode of some of its ticks, with the images that they show.

    Args:
        episode: The episode.
        picks: (n,) int64 rising ticks.
    """
    images, image_index = {}, {}
    for name, index in episode.image_index.items():
        used, image_index[name] = np.unique(index[picks], return_inverse=True)
        images[name] = episode.images[name][used]
    return replace(
        episode,
        stamps_ns=episode.stamps_ns[picks],
        images=images,
        image_index=image_index,
        proprio=episode.proprio[picks],
        actions=episode.actions[picks],
        expert=episode.expert[picks],
        human_intervention=episode.human_intervention[picks],
        velocity=None if episode.velocity is None else episode.velocity[picks],
        effort=None if episode.effort is None else episode.effort[picks],
    )
