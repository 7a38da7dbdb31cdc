# SPDX-License-Identifier: Apache-2.0
"""What an episode is like, in numbers, and limits that a person sets on them.

The numbers judge nothing: how blurred is too blurred depends on the lens, the task and what the
data are for. A limit is a name, a comparison and a number, such as ``sharpness<30``, and is
applied to numbers that were measured without knowing it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import operator
import re

from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError, Episode, Images
import numpy as np
from numpy.typing import NDArray

SAMPLED = 24  # images per camera that sharpness and exposure are measured on, evenly over time
DARK, BRIGHT = 8, 247  # of 255, at which a pixel has lost what it shows
STILL = 0.01  # [rad; gripper 0..1] from where it was within which a joint counts as still
AT_LIMIT = 1e-3  # [rad; gripper 0..1] from a limit within which a command is at it
AT_SPEED = 0.99  # of the highest speed from which a command is at it
COMPARE: dict[str, Callable[[float, float], bool]] = {
    '<=': operator.le,
    '>=': operator.ge,
    '<': operator.lt,
    '>': operator.gt,
}


@dataclass(frozen=True)
class Evidence:
    """What was measured of an episode; of several cameras or joints, the worst.

    Attributes:
        seconds: Length [s].
        sharpness: Variance of the Laplacian of the grey image, by the median over time and of the
            least sharp camera; a defocused lens or fast motion lowers it.
        dark: Share of pixels that are black, by the median over time, of the darkest camera.
        bright: Share of pixels that are white, likewise.
        still_start_s: Time until the arms or their commands leave where they begin [s].
        still_end_s: Time that they have rested where they end [s].
        still: Share of ticks at which nothing moves.
        saturated: Share of ticks at which a command is at a joint limit, or changes as fast as the
            joint may move.
        late_s: Longest time that an image was the newest one of its camera [s].
        duplicated: Share of the images of a camera that are equal to the one before.
    """

    seconds: float
    sharpness: float
    dark: float
    bright: float
    still_start_s: float
    still_end_s: float
    still: float
    saturated: float
    late_s: float
    duplicated: float


@dataclass(frozen=True)
class Limit:
    """A limit on one number of an ``Evidence``.

    Attributes:
        name: Which number.
        comparison: A key of ``COMPARE``.
        number: What it is compared with.
    """

    name: str
    comparison: str
    number: float

    def holds(self, numbers: Mapping[str, float]) -> bool:
        """Return whether the comparison is true of the numbers of an episode."""
        return COMPARE[self.comparison](numbers[self.name], self.number)


def read_limit(text: str) -> Limit:
    """Return a limit such as ``sharpness<30``.

    Raises:
        ConfigError: It is none, or names a number that is not measured.
    """
    names = list(Evidence.__dataclass_fields__)
    parts = re.fullmatch(r'\s*(\w+)\s*(<=|>=|<|>)\s*([-+.\deE]+)\s*', text)
    try:
        if parts is None or parts[1] not in names:
            raise ValueError
        return Limit(parts[1], parts[2], float(parts[3]))
    except ValueError:
        msg = f'{text!r} is no limit; give one such as sharpness<30, of: {", ".join(names)}'
        raise ConfigError(msg) from None


def measure(episode: Episode, robot: RobotSpec) -> Evidence:
    """Return what an episode is like; every image is looked at once.

    Args:
        episode: The episode.
        robot: Limits of its joints.
    """
    ticks = len(episode.stamps_ns)
    seen = [_look_at(images) for images in episode.images.values()]
    first, last = find_motion(episode)
    runs = [np.diff(np.flatnonzero(np.diff(i, prepend=-1, append=-1))).max()
            for i in episode.image_index.values()]  # fmt: skip
    return Evidence(
        seconds=ticks / episode.rate_hz,
        sharpness=min((s.sharpness for s in seen), default=0.0),
        dark=max((s.dark for s in seen), default=0.0),
        bright=max((s.bright for s in seen), default=0.0),
        still_start_s=first / episode.rate_hz,
        still_end_s=(ticks - 1 - last) / episode.rate_hz,
        still=_still_share(episode),
        saturated=_saturated_share(episode, robot),
        late_s=float(max(runs, default=0)) / episode.rate_hz,
        duplicated=max((s.duplicated for s in seen), default=0.0),
    )


def find_motion(episode: Episode) -> tuple[int, int]:
    """Return the first and the last tick between which an episode moves.

    The first is where a joint or command has left the first row by ``STILL``, the last where one
    is still that far from the last row. An episode in which nothing moves is all still: its last
    tick comes first.
    """
    rows = np.concatenate([episode.proprio, episode.actions], axis=1)
    left = np.flatnonzero((np.abs(rows - rows[0]) > STILL).any(axis=1))
    away = np.flatnonzero((np.abs(rows - rows[-1]) > STILL).any(axis=1))
    last = len(rows) - 1
    return (int(left[0]) if len(left) else last, int(away[-1]) if len(away) else 0)


@dataclass(frozen=True)
class _Seen:
    """Sharpness, shares of dark and bright pixels, and of equal neighbours, of one camera."""

    sharpness: float
    dark: float
    bright: float
    duplicated: float


def _look_at(images: Images) -> _Seen:
    """Return what the (U, height, width, 3) uint8 images of a camera are like."""
    measured = set(np.linspace(0, len(images) - 1, min(SAMPLED, len(images))).astype(int).tolist())
    sharpness, dark, bright, equal = [], [], [], 0
    before: NDArray[np.uint8] | None = None
    for number, image in enumerate(images):
        equal += before is not None and np.array_equal(before, image)
        before = image
        if number in measured:
            grey = image.mean(axis=2, dtype=np.float32)
            sharpness.append(float(_laplacian(grey).var()))
            dark.append(float((grey < DARK).mean()))
            bright.append(float((grey > BRIGHT).mean()))
    return _Seen(
        float(np.median(sharpness)),
        float(np.median(dark)),
        float(np.median(bright)),
        equal / max(len(images) - 1, 1),
    )


def _laplacian(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the (height - 2, width - 2) sum of the differences from four neighbours."""
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return np.asarray(around - 4 * grey[1:-1, 1:-1], np.float32)


def _still_share(episode: Episode) -> float:
    """Return the share of steps at which no joint is as fast as ``STILL`` per 0.2 s."""
    if len(episode.proprio) < 2:
        return 1.0
    speed = np.abs(np.diff(episode.proprio, axis=0)).max(axis=1) * episode.rate_hz
    return float((speed < STILL / 0.2).mean())


def _saturated_share(episode: Episode, robot: RobotSpec) -> float:
    """Return the share of ticks at which an arm joint is commanded to a limit or at full speed."""
    arm = robot.arm_joints  # grippers are closed and open all the time
    actions = episode.actions[:, arm]
    low, high = robot.lower[arm] + AT_LIMIT, robot.upper[arm] - AT_LIMIT
    at = np.asarray(((actions <= low) | (actions >= high)).any(axis=1))
    speed = np.abs(np.diff(actions, axis=0)) * episode.rate_hz
    at[1:] |= (speed >= AT_SPEED * robot.max_speed[arm]).any(axis=1)
    return float(at.mean())


def matches(numbers: Mapping[str, float], limits: Sequence[Limit]) -> bool:
    """Return whether all limits hold."""
    return all(limit.holds(numbers) for limit in limits)
