# SPDX-License-Identifier: Apache-2.0
"""PolicyConfig: the facts that are tied to the weights, stored as ``policy.json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
import json
import math
from pathlib import Path
from typing import Any, get_args, Literal

from cosmos_policy_ros.config_file import build, read_mapping
from cosmos_policy_ros.core.layout import LatentLayout, SampleKind
from cosmos_policy_ros.core.protocol import PolicyFacts
from cosmos_policy_ros.robot import GRIPPER, RobotSpec
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open, SafetensorError

FORMAT_VERSION = 1
# Beyond what anybody means, of numbers that would take memory, time or another generator.
MOST_STEPS, MOST_SEED, MOST_SIDE = 1000, 2**31, 8192
CROP_AREA = 0.9  # part of an image kept by the centre crop, the mean of the training crops

ValueKind = Literal['value', 'value_future_only', 'value_q']
Conditioning = Literal['auto', 'trained', 'corrected', 'replaced']
"""How a chunk comes to begin with the committed rows.

``trained``: the network is given them, and was trained to go on from them. ``corrected``: its
estimates are moved towards their conditional mean, see ``core.correction``. ``replaced``: the rows
take the place of the estimated ones and nothing else moves, the baseline. ``auto``: the first of
these for which the checkpoint has what it takes.
"""


@dataclass(frozen=True)
class ImageRecipe:
    """How a camera image becomes the one that a policy is shown, before a crop.

    Attributes:
        size: Side of the square image [px].
        flip: Whether its rows are reversed first, the lowest one on top.
        jpeg_quality: Quality of a JPEG that it goes through next; 0 for none.
        resize_first: Side of a square that it is resized to before ``size`` [px]; 0 for none.
    """

    size: int
    flip: bool = False
    jpeg_quality: int = 0
    resize_first: int = 0


@dataclass(frozen=True)
class PolicyConfig:
    """Cameras, joints, sizes and noise levels of a checkpoint; deployment changes none of them.

    Attributes:
        cameras: Camera names in the order of the latent frames.
        joint_names: Joints in action order.
        rate_hz: Spacing of the action rows [Hz].
        horizon: Rows H of an action chunk.
        action_size: Numbers A of an action row.
        proprio_size: Numbers P of the proprio vector.
        image_size: Side of the square images that go into the autoencoder [px].
        centre_crop: Take the middle 0.9 of the image area, for networks trained on crops.
        latent_channels: Channels of a latent frame.
        latent_size: Height and width of a latent frame.
        independent_frames: The autoencoder treats every image alone, see
            ``networks.make_frame_independent``.
        sigma_max: Noise level at which the sampler starts.
        sigma_min: Noise level of its last network call.
        rho: Bend of the grid between the two.
        action_steps: Denoising steps of the action chunk.
        future_steps: Most denoising steps of a predicted future.
        value_steps: Most denoising steps of a predicted value.
        value_kind: Which frames the value network knows.
        return_discount: Factor per row by which a later success is worth less.
        drop_hidden_frames: Frames that are hidden from the value network, neither known nor
            denoised, are not in its sequence; otherwise they stand there as noise.
        committed_rows: Most committed rows that the network was shown in training, in the
            ``blank`` frame; 0 if it was never shown any, as the official networks.
        advantage: Whether the network was told in training which chunks went better than
            expected, see ``core.advantage``; it is then asked for better ones.
        two_steps_are_one: A denoising in two steps is a single network call at ``sigma_max``, as
            the official sampler makes it.
        single_member_steps: Denoising steps of a future or value that has no other member beside
            it; 0 takes all, as the last of several members does.
        base_seed: Seed of the plain policy's noise.
        open_loop_rows: Rows of a chunk that a benchmark, or the seam ``official``, plays before
            the policy is asked again; 0 plays all.
        flip_images: Images go in upside down, with the rows reversed, as those of simulators that
            draw the lowest row first have to.
        jpeg_quality: Quality of the JPEG that images go through before they are resized, since
            those of the training went through one; 0 for none.
        resize_first: Side that images are resized to before ``image_size`` [px], since the videos
            of the training had it; 0 for none. Images that have ``image_size`` stay as they are.
        text_encoder: What made the text embeddings, for which random numbers cannot stand in;
            empty if they are random numbers.
    """

    cameras: tuple[str, ...]
    joint_names: tuple[str, ...]
    rate_hz: float
    horizon: int
    action_size: int
    proprio_size: int
    image_size: int
    centre_crop: bool
    latent_channels: int
    latent_size: tuple[int, int]
    independent_frames: bool
    sigma_max: float
    sigma_min: float
    rho: float
    action_steps: int
    future_steps: int
    value_steps: int
    value_kind: ValueKind
    return_discount: float
    drop_hidden_frames: bool = False
    committed_rows: int = 0
    advantage: bool = False
    two_steps_are_one: bool = False
    single_member_steps: int = 0
    base_seed: int = 0
    open_loop_rows: int = 0
    flip_images: bool = False
    jpeg_quality: int = 0
    resize_first: int = 0
    text_encoder: str = ''

    def __post_init__(self) -> None:
        """Check types and ranges.

        Raises:
            ConfigError: A field has another type or is out of range.
        """
        for name in ('cameras', 'joint_names'):
            _expect(self, name, _is_names(getattr(self, name)), 'distinct names, at least one')
        flags = ('centre_crop', 'independent_frames', 'drop_hidden_frames')
        for name in (*flags, 'advantage', 'two_steps_are_one', 'flip_images'):
            _expect(self, name, isinstance(getattr(self, name), bool), 'true or false')
        for name, most in (
            ('single_member_steps', MOST_STEPS),
            ('base_seed', MOST_SEED),
            ('open_loop_rows', self.horizon),
            ('jpeg_quality', 100),
            ('resize_first', MOST_SIDE),
        ):
            number = getattr(self, name)
            is_whole = isinstance(number, int) and not isinstance(number, bool)
            fits = is_whole and 0 <= number <= most
            _expect(self, name, fits, f'a whole number from 0 to {most}')
        _expect(self, 'text_encoder', isinstance(self.text_encoder, str), 'text')
        counts = ('horizon', 'action_size', 'proprio_size', 'image_size', 'latent_channels')
        for name in (*counts, 'action_steps', 'future_steps', 'value_steps'):
            _expect(self, name, _is_count(getattr(self, name)), 'a whole number above 0')
        for name in ('rate_hz', 'sigma_max', 'sigma_min', 'rho', 'return_discount'):
            _expect(self, name, _is_positive(getattr(self, name)), 'a number above 0')
        size = self.latent_size
        pair = isinstance(size, tuple) and len(size) == 2 and all(_is_count(n) for n in size)
        _expect(self, 'latent_size', pair, 'two whole numbers above 0')
        kinds = get_args(ValueKind)
        _expect(self, 'value_kind', self.value_kind in kinds, f'one of {kinds}')
        _expect(self, 'sigma_min', self.sigma_min < self.sigma_max, 'below sigma_max')
        _expect(self, 'return_discount', self.return_discount <= 1.0, 'at most 1')
        rows = self.committed_rows
        whole = isinstance(rows, int) and not isinstance(rows, bool)
        _expect(self, 'committed_rows', whole and 0 <= rows < self.horizon, 'below the horizon')
        volume = self.latent_channels * size[0] * size[1]
        fits = not rows or self.horizon * (self.action_size + 1) <= volume
        _expect(
            self,
            'committed_rows',
            fits,
            f'0 where {self.horizon} rows of {self.action_size} numbers and a mark each do not '
            f'fit a latent frame of {volume}',
        )
        agree = len(self.joint_names) == self.action_size
        _expect(self, 'action_size', agree, f'the {len(self.joint_names)} joint_names')

    @property
    def has_value(self) -> bool:
        """True: it judges what it proposes."""
        return True

    @property
    def layout(self) -> LatentLayout:
        """The latent frames of this policy."""
        return LatentLayout(self.cameras)

    @property
    def recipe(self) -> ImageRecipe:
        """How a camera image becomes the one that the policy is shown, before a crop."""
        recipe = self.flip_images, self.jpeg_quality, self.resize_first
        return ImageRecipe(self.image_size, *recipe)

    @property
    def arm_joints(self) -> NDArray[np.bool_]:
        """(A,) bool, False for grippers, which open and close instead of following a path."""
        return np.array([name.rpartition('/')[2] != GRIPPER for name in self.joint_names])

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Shape (C, T, h, w) of one latent sequence."""
        return (self.latent_channels, len(self.layout.names), *self.latent_size)

    def frames(self, kind: SampleKind) -> list[int]:
        """Return the positions of the frames in the network's sequence for a kind of sample."""
        names, layout = self.layout.names, self.layout
        there = (*layout.known(kind), *layout.scored(kind)) if self.drop_hidden_frames else names
        return [i for i, name in enumerate(names) if name in there]


def read_config(path: Path) -> PolicyConfig:
    """Read ``policy.json``.

    Raises:
        ConfigError: The file is missing, no JSON, of a policy of another kind or another format
            version, or has an unknown, missing or wrong field.
    """
    data = read_mapping(path, 'policy file', 'the checkpoint folder is incomplete')
    if 'kind' in data:
        msg = f'{path} is of a policy of kind {data["kind"]}, and this takes a Cosmos Policy'
        raise ConfigError(msg)
    version = data.pop('format_version', None)
    if version != FORMAT_VERSION:
        msg = f'{path} has format_version {version}, this release reads {FORMAT_VERSION}'
        raise ConfigError(msg)
    return build(PolicyConfig, data, str(path))


def write_config(path: Path, config: PolicyConfig) -> None:
    """Write ``policy.json``."""
    data = {'format_version': FORMAT_VERSION, **asdict(config)}
    path.write_text(json.dumps(data, indent=2) + '\n', encoding='utf-8')


def check_robot(config: PolicyFacts, robot: RobotSpec) -> None:
    """Refuse a robot that the policy was not trained for.

    Args:
        config: Cameras, joints, sizes and rate of the policy.
        robot: Those of the robot.

    Raises:
        ConfigError: Cameras, joints, sizes or rates disagree; both sides are named.
    """
    cameras = [c.name for c in robot.cameras]
    facts: list[tuple[str, bool, object, object]] = [
        ('cameras', sorted(cameras) == sorted(config.cameras), list(config.cameras), cameras),
        (
            'joints',
            config.joint_names == robot.joint_names,
            list(config.joint_names),
            list(robot.joint_names),
        ),
        ('action size', config.action_size == robot.size, config.action_size, robot.size),
        (
            'proprio size',
            config.proprio_size == robot.proprio_size,
            config.proprio_size,
            robot.proprio_size,
        ),
        (
            'rate [Hz] (the robot must not be slower)',
            config.rate_hz <= robot.control_rate_hz,
            config.rate_hz,
            robot.control_rate_hz,
        ),
    ]
    for what, agree, ours, theirs in facts:
        if not agree:
            msg = (
                f'checkpoint and robot {robot.name} disagree on {what}: the checkpoint has '
                f'{ours}, the robot has {theirs}; use a checkpoint trained for this robot'
            )
            raise ConfigError(msg)


def check_task(file: Path, task: str) -> None:
    """Refuse a task that a checkpoint was not trained on, without loading torch.

    Args:
        file: The checkpoint's text embeddings, named after their tasks.
        task: Instruction.

    Raises:
        ConfigError: The checkpoint does not know the task, or the file is missing or damaged.
    """
    tasks = read_embedded_tasks(file)
    if task not in tasks:
        msg = f'this checkpoint does not know the task {task!r}; it knows {list(tasks)}'
        raise ConfigError(msg)


def read_embedded_tasks(file: Path) -> tuple[str, ...]:
    """Return the tasks that a file of text embeddings is for, without loading torch.

    Raises:
        ConfigError: The file is missing or damaged.
    """
    try:
        with safe_open(file, framework='numpy') as embeddings:
            return tuple(embeddings.keys())
    except (SafetensorError, OSError) as error:
        msg = f'cannot read {file} ({error}); copy the checkpoint again'
        raise ConfigError(msg) from error


def _expect(config: PolicyConfig, name: str, holds: bool, wanted: str) -> None:
    if not holds:
        msg = f'{name} must be {wanted}, got {getattr(config, name)!r}'
        raise ConfigError(msg)


def _is_names(value: Any) -> bool:
    named = isinstance(value, tuple) and all(isinstance(n, str) and n for n in value)
    return named and len(set(value)) == len(value) > 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_positive(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0
