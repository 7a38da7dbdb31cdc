# SPDX-License-Identifier: Apache-2.0
"""Cosmos3Facts: what the files of a Cosmos 3 policy do not say of it, stored as ``policy.json``.

The published folders hold networks and a tokenizer. For which robot a policy was trained, where in
the one image that it is shown each camera stands, how its actions are scaled, what its text is
like and how it is sampled stand in the code of its server, and here in the file.

Source: NVIDIA/cosmos-framework ``scripts/action_policy_server_robolab.py`` and
``data/generator/action``.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any, Literal

from cosmos_policy_ros.config_file import build, read_mapping
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

KIND = 'cosmos3'
FORMAT_VERSION = 1
# Beyond what anybody means, of numbers that would take memory or time.
MOST_ROWS, MOST_STEPS, MOST_SEED, MOST_SIDE, MOST_GUIDANCE = 1000, 1000, 2**31, 8192, 20.0
LAST_TIMESTEP = 1000.0  # at which denoising begins

Viewpoint = Literal['ego_view', 'third_person_view', 'wrist_view', 'concat_view']
PLAIN = PlanQuery(candidates=1)


@dataclass(frozen=True)
class View:
    """Where in the image that the policy is shown a camera stands.

    Attributes:
        camera: Name of the camera.
        left: Its first column [px].
        top: Its first row [px].
        width: Columns that it is resized to [px].
        height: Rows that it is resized to [px].
    """

    camera: str
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Cosmos3Facts:
    """Robot, cameras, scales, text and sampling of a Cosmos 3 policy.

    Attributes:
        views: The cameras in the image that the policy is shown, which is as large as they are
            together; what none of them covers is black.
        joint_names: Joints in action order.
        joint_low: (A,) joints that the network knows as -1 [rad; gripper 0..1].
        joint_high: (A,) joints that it knows as 1. Minimum and maximum, two quantiles, or mean
            minus and plus deviation of the training, whichever it was scaled by; -1 and 1 where it
            was not, 2 and 0 of a gripper for which it is 1 - opening. Where the two are equal the
            joint never moved.
        rate_hz: Spacing of the action rows and of the images that it predicts [Hz].
        horizon: Rows H of an action chunk.
        action_steps: Denoising steps of a chunk.
        flow_shift: By how much the noise levels are shifted to high ones.
        guidance: How strongly the instruction is followed; 1 is as trained and takes half the
            time, since beyond that every step calls the network without instruction too.
        domain_id: Which of the network's robots it is, a row of its action layers.
        resolution: Class of image sizes, of which the one of nearest shape is filled.
        tasks: Instructions that it may be given.
        viewpoint: From where the image is taken, as the text says it.
        view_description: What the text says besides of how the cameras stand in the image.
        caption: Form of the text, ``json`` with a key for each fact or ``text`` of sentences.
        state_row: Whether the network is given the measured joints, as a row before the chunk.
        guided_from: Timestep, from 1000 at the start of a denoising to 0 at its end, below which
            no guidance is applied.
        base_seed: Seed of the noise.
        open_loop_rows: Rows of a chunk that the seam ``official`` plays before the policy is asked
            again; 0 plays all.
    """

    views: tuple[View, ...]
    joint_names: tuple[str, ...]
    joint_low: tuple[float, ...]
    joint_high: tuple[float, ...]
    rate_hz: float
    horizon: int
    action_steps: int
    flow_shift: float
    guidance: float
    domain_id: int
    resolution: Literal[256, 480, 704, 720]
    tasks: tuple[str, ...]
    viewpoint: Viewpoint
    view_description: str = ''
    caption: Literal['json', 'text'] = 'json'
    state_row: bool = False
    guided_from: float = 0.0
    base_seed: int = 0
    open_loop_rows: int = 0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: A field is out of range.
        """
        n = len(self.joint_names)
        sizes = [number for v in self.views for number in (v.left + v.width, v.top + v.height)]
        boxes = all(min(v.left, v.top) >= 0 < min(v.width, v.height) for v in self.views)
        finite = all(map(math.isfinite, (*self.joint_low, *self.joint_high)))
        facts: list[tuple[str, bool, str]] = [
            ('views', _are_names(self.cameras), 'of distinct cameras, at least one'),
            (
                'views',
                boxes and max(sizes, default=0) <= MOST_SIDE,
                f'boxes within {MOST_SIDE} pixels',
            ),
            ('joint_names', _are_names(self.joint_names), 'distinct names, at least one'),
            ('joint_low', len(self.joint_low) == n and finite, f'{n} numbers, one for each joint'),
            ('joint_high', len(self.joint_high) == n and finite, f'{n} numbers, as joint_low'),
            ('rate_hz', 0.0 < self.rate_hz < math.inf, 'a number above 0'),
            ('horizon', 2 <= self.horizon <= MOST_ROWS, f'from 2 to {MOST_ROWS}'),
            ('action_steps', 1 <= self.action_steps <= MOST_STEPS, f'from 1 to {MOST_STEPS}'),
            ('flow_shift', 0.0 < self.flow_shift < math.inf, 'a number above 0'),
            ('guidance', 1.0 <= self.guidance <= MOST_GUIDANCE, f'from 1 to {MOST_GUIDANCE:g}'),
            ('domain_id', self.domain_id >= 0, 'at least 0'),
            ('tasks', _are_names(self.tasks), 'distinct instructions, at least one'),
            (
                'guided_from',
                0.0 <= self.guided_from <= LAST_TIMESTEP,
                f'a timestep from 0 to {LAST_TIMESTEP:g}',
            ),
            ('base_seed', 0 <= self.base_seed <= MOST_SEED, f'from 0 to {MOST_SEED}'),
            ('open_loop_rows', 0 <= self.open_loop_rows <= self.horizon, 'at most the horizon'),
        ]
        for name, holds, wanted in facts:
            if not holds:
                msg = f'{name} must be {wanted}, got {getattr(self, name)!r}'
                raise ConfigError(msg)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras."""
        return tuple(view.camera for view in self.views)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the image that the policy is shown [px]."""
        height = max(view.top + view.height for view in self.views)
        return height, max(view.left + view.width for view in self.views)

    @property
    def action_size(self) -> int:
        """Numbers A of an action row."""
        return len(self.joint_names)

    @property
    def proprio_size(self) -> int:
        """Numbers of the proprio vector: the joints of an action row."""
        return self.action_size

    @property
    def committed_rows(self) -> int:
        """0, since no network of this kind was trained with committed rows."""
        return 0

    @property
    def has_value(self) -> bool:
        """False: it proposes and imagines, and does not judge."""
        return False

    @property
    def low(self) -> NDArray[np.float64]:
        """(A,) float64, ``joint_low``."""
        return np.array(self.joint_low)

    @property
    def high(self) -> NDArray[np.float64]:
        """(A,) float64, ``joint_high``."""
        return np.array(self.joint_high)

    def check_query(self, query: PlanQuery) -> None:
        """Refuse a query for what takes a value.

        Raises:
            ConfigError: There is to be a choice among candidates, or a judgement of any.
        """
        query.check(self.action_steps)
        wanted = [
            f'{name} {getattr(query, name)}'
            for name in ('candidates', 'futures', 'values', 'depth', 'keep', 'temperature')
            if getattr(query, name) != getattr(PLAIN, name)
        ]
        wanted += [f'guidance {query.guidance:g}'] * (query.guidance > 1.0)
        if wanted:
            msg = (
                'this checkpoint has no value, so planning is off: there is one candidate, and '
                f'nothing is judged; got {", ".join(wanted)}, give candidates 1 and leave the '
                'others at their defaults'
            )
            raise ConfigError(msg)

    def check_task(self, task: str) -> None:
        """Refuse an instruction that the policy may not be given.

        Raises:
            ConfigError: It is none of ``tasks``.
        """
        if task not in self.tasks:
            msg = (
                f'this checkpoint does not know the task {task!r}; its policy.json has '
                f'{list(self.tasks)}, and takes any other that you trust it with'
            )
            raise ConfigError(msg)


def read_cosmos3_facts(path: Path) -> Cosmos3Facts:
    """Read the ``policy.json`` of a Cosmos 3 policy.

    Raises:
        ConfigError: The file is missing, no JSON, of another kind or format version, or has an
            unknown, missing or wrong field.
    """
    data: dict[str, Any] = read_mapping(path, 'policy file', 'the folder is incomplete')
    kind, version = data.pop('kind', None), data.pop('format_version', None)
    if (kind, version) != (KIND, FORMAT_VERSION):
        msg = (
            f'{path} has kind {kind} and format_version {version}, this release reads {KIND} and '
            f'{FORMAT_VERSION}'
        )
        raise ConfigError(msg)
    return build(Cosmos3Facts, data, str(path))


def _are_names(names: tuple[str, ...]) -> bool:
    return len(set(names)) == len(names) > 0 and all(name.strip() for name in names)
