# SPDX-License-Identifier: Apache-2.0
"""The checkpoint folder: everything about a policy that is tied to its weights.

``policy.json`` (PolicyConfig) · ``norm_stats.json`` · ``text_embeddings.safetensors`` ·
``transformer/`` and ``vae/`` (diffusers config.json and safetensors) · where they were measured,
``residuals.safetensors``. Nothing is pickled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
import json
from pathlib import Path
from typing import Any, NamedTuple

from cosmos_policy_ros.core.config import PolicyConfig, read_config, write_config
from cosmos_policy_ros.core.correction import read_residuals, Residuals, write_residuals
from cosmos_policy_ros.core.denoiser import mixed_layers, text_layers
from cosmos_policy_ros.core.images import COPIES
from cosmos_policy_ros.core.layout import LatentLayout
from cosmos_policy_ros.core.networks import is_frame_independent, spatial_stride, temporal_stride
from cosmos_policy_ros.core.normalize import NormStats, read_stats, write_stats
from cosmos_policy_ros.core.text import load_text_embeddings, save_text_embeddings, TextEmbeddings
from cosmos_policy_ros.outputs import sync
from cosmos_policy_ros.types import ConfigError
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel, ModelMixin
import numpy as np
from safetensors import safe_open, SafetensorError
import torch
from torch import nn

__all__ = ['Checkpoint', 'PolicyConfig', 'load_checkpoint', 'save_checkpoint']

CONFIG = 'policy.json'
STATS = 'norm_stats.json'
TEXT = 'text_embeddings.safetensors'
RESIDUALS = 'residuals.safetensors'
TRANSFORMER = 'transformer'
VAE = 'vae'
WEIGHTS = 'diffusion_pytorch_model.safetensors'
LAYERS, MOST_LAYERS = ('num_layers', 'num_res_blocks'), 200  # the 2B network has 28
LARGEST = 1_000_000  # of any other size; that of a text embedding is 100,000


class Checkpoint(NamedTuple):
    """A loaded checkpoint folder; the networks on the CPU, set to inference.

    They are in float32, but for the layers that a backend wants in another. Where an exported
    network is used, of the transformer only what reads the text has weights.
    """

    config: PolicyConfig
    stats: NormStats
    text: TextEmbeddings
    transformer: CosmosTransformer3DModel
    vae: AutoencoderKLWan
    residuals: Residuals | None = None


def load_checkpoint(
    path: Path, exported: bool = False, mixed: torch.dtype | None = None
) -> Checkpoint:
    """Read a checkpoint folder and check that its parts fit each other.

    Args:
        path: Checkpoint folder.
        exported: The transformer was exported: read only the weights of ``text_layers``.
        mixed: Precision of the layers that ``denoiser.to_mixed_precision`` is for, which are read
            in it one by one, so that there is no copy in float32; None reads float32.

    Raises:
        ConfigError: Something is missing, damaged, of another shape than the networks, or the
            parts do not fit each other.
    """
    if not path.is_dir():
        msg = f'no checkpoint folder {path}; give a folder that holds {CONFIG}'
        raise ConfigError(msg)
    checkpoint = Checkpoint(
        read_config(path / CONFIG),
        read_stats(path / STATS),
        load_text_embeddings(path / TEXT),
        _load_network(
            CosmosTransformer3DModel, path / TRANSFORMER, text_layers if exported else None, mixed
        ),
        _load_network(AutoencoderKLWan, path / VAE),
        read_residuals(path / RESIDUALS),
    )
    try:
        check_parts(checkpoint)
    except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
        msg = f'{path}: {error}'  # damaged facts of a network too, that no arithmetic takes
        raise ConfigError(msg) from error
    return checkpoint


def save_checkpoint(
    path: Path,
    config: PolicyConfig,
    stats: NormStats,
    text: TextEmbeddings,
    transformer: CosmosTransformer3DModel,
    vae: AutoencoderKLWan,
    residuals: Residuals | None = None,
) -> None:
    """Write a checkpoint folder and wait until the disk has it; networks keep their precision.

    Raises:
        ConfigError: The parts do not fit each other.
    """
    check_parts(Checkpoint(config, stats, text, transformer, vae, residuals))
    path.mkdir(parents=True, exist_ok=True)
    write_config(path / CONFIG, config)
    write_stats(path / STATS, stats)
    save_text_embeddings(path / TEXT, text)
    if residuals is not None:
        write_residuals(path / RESIDUALS, residuals)
    for network, name in ((transformer, TRANSFORMER), (vae, VAE)):
        network.save_pretrained(path / name)
        file = path / name / 'config.json'
        facts = json.loads(file.read_text(encoding='utf-8'))
        facts.pop('_name_or_path', None)  # the folder it was once read from, on this machine
        file.write_text(json.dumps(facts, indent=2) + '\n', encoding='utf-8')
    more = () if residuals is None else (RESIDUALS,)
    # by name, for the files of its training may be beside them
    for name in (CONFIG, STATS, TEXT, TRANSFORMER, VAE, *more):
        sync(path / name)


def check_planning(base: Checkpoint, planning: Checkpoint) -> None:
    """Refuse a planning checkpoint that cannot score what ``base`` proposes.

    Its transformer is shown latents and vectors that the base made, so all that gives them their
    meaning has to be the same; noise levels, steps, seeds and what the value is judged from may
    differ.

    Raises:
        ConfigError: Layout, sizes, ranges, a task's embedding or the autoencoder differ.
    """
    free = ('sigma_max', 'sigma_min', 'rho', 'action_steps', 'future_steps', 'value_steps',
            'value_kind', 'return_discount', 'drop_hidden_frames', 'advantage',
            'two_steps_are_one', 'single_member_steps', 'base_seed', 'open_loop_rows')  # fmt: skip
    wanted, got = ({**asdict(c.config), **dict.fromkeys(free)} for c in (base, planning))
    different = [name for name in wanted if wanted[name] != got[name]]
    pairs = ((f.name, getattr(base.stats, f.name)) for f in fields(NormStats))
    different += [
        f'{STATS} {n}' for n, row in pairs if not np.array_equal(row, getattr(planning.stats, n))
    ]
    different += [repr(task) for task in base.text.tasks if not _same_text(task, base, planning)]
    if not _same_weights(base.vae.state_dict(), planning.vae.state_dict()):
        different.append('autoencoder')
    if different:
        msg = (
            f'this planning checkpoint does not fit the base, for it differs in '
            f'{", ".join(different)}; train it with --role planning and --init, the base'
        )
        raise ConfigError(msg)


def _same_text(task: str, base: Checkpoint, planning: Checkpoint) -> bool:
    known = task in planning.text.tasks
    return known and torch.equal(base.text.lookup(task), planning.text.lookup(task))


def _same_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _load_network(
    cls: type[ModelMixin],
    path: Path,
    part: Callable[[Any], list[nn.Module]] | None = None,
    mixed: torch.dtype | None = None,
) -> Any:
    """Read one diffusers network, or a part, after comparing the file's header with it.

    Its weights are read one by one into a network that has none, so that memory holds them once.
    """
    for file in (path / 'config.json', path / WEIGHTS):
        if not file.is_file():
            msg = f'no file {file}; the checkpoint folder is incomplete'
            raise ConfigError(msg)
    try:
        config = json.loads((path / 'config.json').read_text(encoding='utf-8'))
        if config.get('_class_name') != cls.__name__:
            msg = f'{path / "config.json"} is for {config.get("_class_name")}, not {cls.__name__}'
            raise ConfigError(msg)
        _check_sizes(config)
        with torch.device('meta'):
            network = cls.from_config(config)
    except ConfigError:
        raise
    except (ValueError, TypeError, AttributeError, RuntimeError, LookupError, ArithmeticError,
            AssertionError, MemoryError) as error:  # fmt: skip
        msg = f'{path / "config.json"} does not describe a {cls.__name__}: {error}'
        raise ConfigError(msg) from error
    empty = network.state_dict()
    _check_shapes(path / WEIGHTS, {name: tuple(v.shape) for name, v in empty.items()})
    if part is not None:
        kept = {id(v) for layer in part(network) for v in layer.parameters()}
        empty = {name: v for name, v in network.named_parameters() if id(v) in kept}
    kinds = dict.fromkeys(empty, torch.float32)
    if mixed is not None:
        halved = {id(v) for layer in mixed_layers(network) for v in layer.parameters()}
        names = (name for name, v in network.named_parameters() if id(v) in halved)
        kinds |= {name: mixed for name in names if name in kinds}
    with safe_open(path / WEIGHTS, framework='pt') as file:  # to() copies: the file may change
        weights = {k: file.get_tensor(k).to(kind, copy=True) for k, kind in kinds.items()}
    network.load_state_dict(weights, strict=part is None, assign=True)
    return network.eval()


def _check_sizes(config: dict[str, Any]) -> None:
    """Refuse a damaged size before a network of it is built for hours."""
    for name, value in config.items():
        most = MOST_LAYERS if name in LAYERS else LARGEST
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, int | float) and not number <= most for number in numbers):
            msg = f'{name} is {value}, at most {most} is possible'
            raise ValueError(msg)


def _check_shapes(file: Path, wanted: dict[str, tuple[int, ...]]) -> None:
    """Refuse a weights file that is damaged or belongs to another network."""
    try:
        with safe_open(file, framework='pt') as weights:
            found = {k: tuple(weights.get_slice(k).get_shape()) for k in weights.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        msg = f'{file} is damaged ({error}); copy the checkpoint again'
        raise ConfigError(msg) from error
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            msg = (
                f'{file}: {name} has shape {found.get(name, "none")}, config.json beside it '
                f'wants {wanted.get(name, "none")}; the two belong to different networks'
            )
            raise ConfigError(msg)


def check_parts(checkpoint: Checkpoint) -> None:
    """Refuse parts that do not fit each other."""
    config, stats, text, transformer, vae, residuals = checkpoint
    side = config.image_size // spatial_stride(vae)
    extra = 1 if transformer.config.concat_padding_mask else 2  # condition (and padding) mask
    channels = config.latent_channels
    frames = len(LatentLayout(config.cameras).names)
    volume = channels * config.latent_size[0] * config.latent_size[1]
    facts: list[tuple[str, object, str, object]] = [
        (STATS, len(stats.actions_min), f'{CONFIG} action_size', config.action_size),
        (STATS, len(stats.proprio_min), f'{CONFIG} proprio_size', config.proprio_size),
        (TEXT, text.shape[1], 'transformer text_embed_dim', transformer.config.text_embed_dim),
        ('vae z_dim', vae.config.z_dim, f'{CONFIG} latent_channels', channels),
        ('vae temporal stride', temporal_stride(vae), 'needed', COPIES),
        ('vae latents of an image', (side, side), f'{CONFIG} latent_size', config.latent_size),
        ('transformer in_channels', transformer.config.in_channels, 'needed', channels + extra),
        ('transformer out_channels', transformer.config.out_channels, 'needed', channels),
    ]
    if residuals is not None:
        rows_and_joints = (config.horizon, int(config.arm_joints.sum()))
        shape = tuple(residuals.second_moment.shape[:2])
        facts.append((f'{RESIDUALS} rows and arm joints', shape, CONFIG, rows_and_joints))
    for left, got, right, wanted in facts:
        if got != wanted:
            msg = f'{left} {got} does not fit {right} {wanted}'
            raise ConfigError(msg)
    if max(config.horizon * config.action_size, config.proprio_size) > volume:
        msg = f'{config.horizon} x {config.action_size} actions exceed a frame of {volume} numbers'
        raise ConfigError(msg)
    size = transformer.config.max_size
    if not isinstance(size, list | tuple) or [type(n) for n in size] != 3 * [int]:
        msg = f'transformer max_size {size} must be three whole numbers: frames, height, width'
        raise ConfigError(msg)
    longest = size[0]
    if frames > longest:
        msg = f'{frames} latent frames exceed the transformer max_size {longest}'
        raise ConfigError(msg)
    if config.independent_frames and not is_frame_independent(vae):
        msg = f'{CONFIG} has independent_frames, but the vae depends on earlier frames'
        raise ConfigError(msg)
