# SPDX-License-Identifier: Apache-2.0
"""What a training run does, read from a YAML file such as ``config/train.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
import logging
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from cosmos_policy_ros.config_file import build, read_mapping
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.outputs import whole_file, write_json
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.training.dataset import Mixture
from cosmos_policy_ros.training.sizes import AutoencoderConfig, LoraConfig, TransformerConfig
from cosmos_policy_ros.types import ConfigError
import yaml

logger = logging.getLogger(__name__)
FIXED = (  # what an interrupted run cannot change, for it is in its files
    'cameras', 'image_size', 'tick_hz', 'rate_hz', 'horizon', 'seed', 'held_out', 'augment',
    'autoencoder', 'transformer', 'lora', 'value_kind', 'drop_hidden_frames', 'ranges',
    'sigma_low', 'sigma_high', 'committed_rows', 'action_steps', 'open_loop_rows', 'advantage',
    'return_discount',
)  # fmt: skip
BEGUN = 'begun.json'  # in the folder of a run: what it began with
FROM_INIT = (  # what a checkpoint has in common with the one that it learns from or works with
    'cameras', 'image_size', 'rate_hz', 'horizon', 'return_discount', 'committed_rows',
)  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        cameras: Camera names in the order of the latent frames.
        image_size: Side of the images [px].
        tick_hz: Rate at which episodes are sampled [Hz]; observations may start at any tick.
        rate_hz: Spacing of the action rows [Hz].
        horizon: Rows of an action chunk.
        return_discount: Factor per row by which a later success is worth less.
        value_kind: What the value is judged from: ``value``, all else; ``value_future_only``, the
            predicted state; ``value_q``, observation and action.
        drop_hidden_frames: Whether frames that a value sample neither shows nor asks for are left
            out of its sequence, in training and at run time; otherwise they stand there as noise.
        ranges: Where the ranges of actions and joints come from: ``data``, the demonstrations, or
            ``init``, the checkpoint of --init, with which the new one can then plan.
        sigma_low: Lowest noise level, drawn in training and reached in denoising; without one that
            of --init, else the reference's 4.
        sigma_high: Highest noise level; without one that of --init, else the reference's 80.
        action_steps: Denoising steps of an action chunk at run time; without one those of --init,
            else 5.
        open_loop_rows: Rows of a chunk that a benchmark, or the seam ``official``, plays before
            the policy is asked again; without one those of --init, else all.
        action_weight: Weight of the action frame in the loss; the other frames count 1.
        joint: Whether policy samples teach future and value too, not the action alone.
        updates: Optimiser steps.
        batch_size: Samples per step, over all processes.
        accumulate: Parts a process computes its samples in, one after the other; more parts need
            less memory.
        checkpointing: Compute activations twice instead of keeping them, for less memory.
        precision: bfloat16 or float32 arithmetic of the network, in training and validation;
            ``auto`` measures for a moment which of both this machine is faster at. Weights stay
            float32.
        learning_rate: Peak learning rate.
        schedule: ``decay`` is flat between ``warmup`` and ``decay``; ``reference`` falls to 0.3
            until step ``decay`` and stays at 0.06 from there on.
        warmup: Steps until the peak.
        decay: Steps at the end over which the learning rate falls to 0, see ``schedule``.
        weight_decay: AdamW weight decay.
        ema: Decay of the averaged weights that are kept.
        held_out: Share of the episodes that is only measured on.
        seed: Seed of weights, sampling and noise.
        compile: Compile the transformer first; needs a C++ compiler.
        augment: Versions of every episode with images cropped, turned and recoloured; 0 for
            none. With any, the policy sees the centre crop.
        committed_rows: Most rows of a chunk that are committed before it is planned, see
            ``core.committed``; half of the samples have 1 to as many. 0 trains a policy that
            knows nothing of what is still being played.
        advantage: Whether policy samples are labelled by whether the return was better than the
            value of --init expected, see ``core.advantage``. All rollouts are then imitated,
            failures too, each under its label.
        label_drop: Share of those samples without their label.
        measure_every: Steps between two measurements on the episodes held out.
        save_s: Time between two saved states [s]; they are saved when the log gets a line.
        mixture: How often each kind of sample is drawn.
        autoencoder: Image autoencoder.
        transformer: Diffusion transformer.
        lora: Low-rank adapters.
    """

    cameras: tuple[str, ...] = ('left_wrist', 'right_wrist', 'high')
    image_size: int = 128
    tick_hz: float = 50.0
    rate_hz: float = 12.5
    horizon: int = 16
    return_discount: float = 0.98
    value_kind: Literal['value', 'value_future_only', 'value_q'] = 'value'
    drop_hidden_frames: bool = False
    ranges: Literal['data', 'init'] = 'data'
    sigma_low: float | None = None
    sigma_high: float | None = None
    action_steps: int | None = None
    open_loop_rows: int | None = None
    action_weight: float = 100.0
    joint: bool = True
    updates: int = 8000
    batch_size: int = 64
    accumulate: int = 1
    checkpointing: bool = False
    precision: Literal['auto', 'bfloat16', 'float32'] = 'auto'
    learning_rate: float = 1e-3
    schedule: Literal['decay', 'reference'] = 'decay'
    warmup: int = 200
    decay: int = 2000
    weight_decay: float = 0.01
    ema: float = 0.998
    held_out: float = 0.04
    seed: int = 0
    compile: bool = False
    augment: int = 0
    committed_rows: int = 0
    advantage: bool = False
    label_drop: float = 0.3
    measure_every: int = 1000
    save_s: float = 300.0
    mixture: Mixture = field(default_factory=Mixture)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)

    @property
    def stride(self) -> int:
        """Ticks between two rows of a chunk."""
        return round(self.tick_hz / self.rate_hz)


def read_train_config(path: Path, base: PolicyConfig | None = None) -> TrainConfig:
    """Read a training YAML file; what it leaves out keeps its default.

    Args:
        path: The file.
        base: Facts of the checkpoint of --init, whose networks know nothing else: those of
            ``FROM_INIT`` that the file leaves out, and whether images are cropped, are taken from
            there. None takes the defaults.

    Raises:
        ConfigError: The file is missing, has an unknown key, a value of another type, or values
            that cannot be.
    """
    hint = 'config/train.yaml is a place to start'
    given = read_mapping(path, 'training configuration', hint)
    config = build(TrainConfig, given, str(path))
    if base is not None:
        taken = {name: getattr(base, name) for name in FROM_INIT if name not in given}
        if 'augment' not in given:
            taken['augment'] = int(base.centre_crop)
        config = replace(config, **taken)
    positive = ('image_size', 'tick_hz', 'rate_hz', 'horizon', 'batch_size', 'learning_rate')
    counts = ('updates', 'warmup', 'decay', 'accumulate', 'measure_every')
    for name in (*positive, *counts):
        _expect(getattr(config, name) > 0, f'{path}: {name}', 'above 0')
    for name in ('sigma_low', 'sigma_high'):
        level = getattr(config, name)
        _expect(level is None or level > 0, f'{path}: {name}', 'above 0')
    steps = config.action_steps
    _expect(steps is None or steps > 0, f'{path}: action_steps', 'above 0')
    played = config.open_loop_rows
    fits = played is None or 0 < played <= config.horizon
    _expect(fits, f'{path}: open_loop_rows', f'1 to the horizon, {config.horizon}')
    for name in ('held_out', 'ema', 'return_discount'):
        _expect(0 < getattr(config, name) <= 1, f'{path}: {name}', 'above 0, at most 1')
    _expect(0 <= config.label_drop < 1, f'{path}: label_drop', 'at least 0, below 1')
    below = config.committed_rows < config.horizon
    _expect(below, f'{path}: committed_rows', f'below the horizon, {config.horizon}')
    whole = abs(config.tick_hz / config.rate_hz - config.stride) < 1e-9
    _expect(whole, f'{path}: tick_hz', f'a whole multiple of rate_hz, {config.rate_hz}')
    counted = ('augment', config.augment), ('lora: rank', config.lora.rank)
    for name, number in (*counted, ('committed_rows', config.committed_rows)):
        _expect(number >= 0, f'{path}: {name}', 'at least 0')
    if config.sigma_low is not None and config.sigma_high is not None:
        _expect(config.sigma_low < config.sigma_high, f'{path}: sigma_low', 'below sigma_high')
    for name in ('rope_scale', 'max_size'):
        three = len(getattr(config.transformer, name)) == 3
        _expect(three, f'{path}: transformer: {name}', 'three numbers, of time, height and width')
    return config


def _expect(holds: bool, what: str, wanted: str) -> None:
    if not holds:
        msg = f'{what} must be {wanted}'
        raise ConfigError(msg)


def check_cameras(config: TrainConfig, robot: RobotSpec) -> None:
    """Refuse cameras that a robot does not have, and log which of its own are left out.

    Args:
        config: Names of the cameras to train with.
        robot: Robot of the episodes.

    Raises:
        ConfigError: The robot has no camera of such a name, or one is named twice.
    """
    wanted, there = config.cameras, [camera.name for camera in robot.cameras]
    if len(set(wanted)) < len(wanted) or not set(wanted) <= set(there):
        msg = (
            f'the training configuration has cameras: {list(wanted)}, robot {robot.name} has '
            f'{there}; name cameras of the robot file in the configuration, each once'
        )
        raise ConfigError(msg)
    if left := sorted(set(there) - set(wanted)):
        logger.warning(
            'cameras %s of robot %s are not trained with; the checkpoint will run only with a '
            'robot file without them',
            left,
            robot.name,
        )


def write_train_config(path: Path, config: TrainConfig) -> None:
    """Write the configuration, defaults included."""
    plain = yaml.safe_load(yaml.safe_dump(_plain(asdict(config))))
    with whole_file(path) as partial:
        partial.write_text(yaml.safe_dump(plain, sort_keys=False), encoding='utf-8')


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return list(value) if isinstance(value, tuple) else value


def open_run(
    work: Path, config: TrainConfig, resume: bool, begun: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Make the folder of a new run, or check that the one there may go on.

    Args:
        work: The folder.
        config: Configuration of the run.
        resume: Whether a run that is there goes on.
        begun: What else a run begins with and cannot change, by the option that gives it, of what
            JSON has.

    Raises:
        ConfigError: There is a run already and it is not resumed, or cannot be with ``config`` or
            with what it would begin with now.
    """
    file, facts = work / 'train.yaml', work / BEGUN
    if file.exists():
        if not resume:
            msg = f'{work.parent} holds a run already; go on with --resume or choose another --out'
            raise ConfigError(msg)
        old = read_train_config(file)
        changed = [name for name in FIXED if getattr(old, name) != getattr(config, name)]
        if changed:
            differing = ', '.join(
                f'{name} (was {getattr(old, name)}, now {getattr(config, name)})'
                for name in changed
            )
            msg = f'a run cannot change {differing} half-way; choose another --out'
            raise ConfigError(msg)
        before = begun  # of a run of before this was kept nothing is known
        if facts.exists():
            before = read_mapping(facts, 'file of a run', 'choose another --out')
        if changed := [name for name in begun if before.get(name) != begun[name]]:
            began = [_describe_begin(name, before.get(name), begun[name]) for name in changed]
            msg = f'this run began {" and ".join(began)}; give that, or choose another --out'
            raise ConfigError(msg)
    elif resume:
        msg = f'{work.parent} holds no run to go on with; leave out --resume to start one'
        raise ConfigError(msg)
    work.mkdir(parents=True, exist_ok=True)
    write_json(facts, dict(begun))
    write_train_config(file, config)


def _describe_begin(option: str, before: object, now: object) -> str:
    """Return how a run began where an option is another now."""
    if before is None:
        return f'without {option}'
    return f'with {option}' if now is None else f'with another {option}'
