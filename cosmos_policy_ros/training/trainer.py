# SPDX-License-Identifier: Apache-2.0
"""One training run from a folder of bags to a checkpoint, resumable after every stage.

1. bags -> pictures and tracks · 2. autoencoder · 3. latents of all pictures · 4. transformer ·
5. checkpoint. ``<out>/work`` keeps what a resumed run needs; it may be deleted afterwards.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
import json
import logging
from pathlib import Path
import time
import zlib

from cosmos_policy_ros.core.checkpoint import save_checkpoint
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.images import black_like, scale_pixels
from cosmos_policy_ros.core.networks import encode_video, use_picture_convolutions
from cosmos_policy_ros.core.normalize import NormStats
from cosmos_policy_ros.core.text import TextEmbeddings
from cosmos_policy_ros.data.dataset import SampleTable
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.training.autoencoder import (
    build_autoencoder,
    LATENT_CHANNELS,
    train_autoencoder,
)
from cosmos_policy_ros.training.batch import LatentStore, velocity_loss
from cosmos_policy_ros.training.config import TrainConfig, write_train_config
from cosmos_policy_ros.training.measure import measure
from cosmos_policy_ros.training.prepare import (
    encode_all,
    load_tracks,
    pick_pictures,
    prepare_bags,
)
from cosmos_policy_ros.types import ConfigError
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
import numpy as np
from rich.progress import Progress
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
import torch
from torch import Tensor

logger = logging.getLogger(__name__)
SAVE_S = 300.0  # [s] between two saved states


@dataclass(frozen=True, eq=False)
class Material:
    """What the transformer is trained on.

    Attributes:
        policy: Facts of the coming checkpoint.
        stats: Ranges of actions and proprio.
        text: Embedding of the task.
        store: Latents.
        trained: Samples to train on.
        held_out: Samples only measured on.
    """

    policy: PolicyConfig
    stats: NormStats
    text: TextEmbeddings
    store: LatentStore
    trained: SampleTable
    held_out: SampleTable


def train(data: Path, out: Path, robot: RobotSpec, config: TrainConfig) -> dict[str, float]:
    """Train, write the checkpoint to ``out`` and return its figures.

    Args:
        data: Folder of bags.
        out: Checkpoint folder; an interrupted run in it is continued.
        robot: Robot of the bags.
        config: What to do.

    Raises:
        ConfigError: The data cannot be used.
    """
    work = out / 'work'
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    # 1. bags -> pictures and tracks
    files = prepare_bags(data, work / 'episodes', robot, config)
    # 2. autoencoder
    vae = _autoencoder(files, work, config)
    # 3. latents
    material = _material(files, vae, work, robot, config)
    # 4. transformer
    transformer, figures = _train_transformer(material, work, config)
    # 5. checkpoint, half precision on disk
    save_checkpoint(
        out,
        material.policy,
        material.stats,
        material.text,
        copy.deepcopy(transformer).half(),
        copy.deepcopy(vae).half(),
    )
    write_train_config(out / 'train.yaml', config)
    (out / 'figures.json').write_text(json.dumps(figures, indent=2) + '\n', encoding='utf-8')
    return figures


def build_transformer(config: TrainConfig, latent_side: int) -> CosmosTransformer3DModel:
    """Return a new transformer that starts as the zero function."""
    size = config.transformer
    transformer = CosmosTransformer3DModel(
        in_channels=LATENT_CHANNELS + 2,
        out_channels=LATENT_CHANNELS,
        num_attention_heads=size.heads,
        attention_head_dim=size.head_dim,
        num_layers=size.layers,
        mlp_ratio=4.0,
        text_embed_dim=size.text_dim,
        adaln_lora_dim=size.adaln_dim,
        max_size=(2 * len(config.cameras) + 5, latent_side, latent_side),
        patch_size=(1, size.patch, size.patch),
        rope_scale=(1.0, 1.0, 1.0),
        concat_padding_mask=False,
        extra_pos_embed_type='learnable',
    )
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if 'pos_emb_' in name:
                weight.normal_(0.0, 1.0)  # zeros have no direction to normalise
            if name.endswith(('linear_2.weight', 'proj_out.weight')):
                weight.zero_()
    return transformer


def _autoencoder(files: list[Path], work: Path, config: TrainConfig) -> AutoencoderKLWan:
    folder = work / 'vae'
    if (folder / 'config.json').exists():
        vae: AutoencoderKLWan = AutoencoderKLWan.from_pretrained(folder)
        return use_picture_convolutions(vae).eval()
    vae = build_autoencoder(config.autoencoder)
    psnr = train_autoencoder(vae, pick_pictures(files, config), config.autoencoder, config.seed)
    logger.info('autoencoder: %.1f dB on pictures held out', psnr)
    # Rounded once, so that the latents below are those of the checkpoint on disk.
    vae = use_picture_convolutions(vae.half().float())
    vae.save_pretrained(folder)
    return vae


def _material(
    files: list[Path], vae: AutoencoderKLWan, work: Path, robot: RobotSpec, config: TrainConfig
) -> Material:
    tracks, tasks = load_tracks(files, config)
    file = work / 'latents.safetensors'
    if not file.exists():
        save_file({'pictures': encode_all(files, vae, config)}, file)
    pictures = load_file(file)['pictures']
    used = max(int(t.image_row.max()) for t in tracks) + 1
    if len(pictures) != used:
        msg = f'{file} has {len(pictures)} pictures, the episodes {used}; remove it and try again'
        raise ConfigError(msg)
    with torch.inference_mode():
        picture = scale_pixels(np.zeros((1, config.image_size, config.image_size, 3), np.uint8))
        blank = encode_video(vae, black_like(picture)[:, :, None])[0, :, 0]
    embeddings = {task: _embed(task, config) for task in sorted(set(tasks))}
    if len(embeddings) > 1:
        msg = f'the episodes are of {len(embeddings)} tasks {sorted(embeddings)}; train on one'
        raise ConfigError(msg)
    demos = [t for t in tracks if t.demo]
    if not demos:
        msg = 'no episode is a demonstration; record some that succeed and try again'
        raise ConfigError(msg)
    stats = NormStats.from_steps(
        np.concatenate([t.actions for t in demos]), np.concatenate([t.proprio for t in demos])
    )
    n_held_out = max(1, round(config.held_out * len(tracks)))
    kinds = (config.horizon, config.stride, config.return_discount, config.mixture)
    return Material(
        policy=_policy_config(config, robot, pictures.shape[-1]),
        stats=stats,
        text=TextEmbeddings(embeddings),
        store=LatentStore(pictures, blank.clone(), next(iter(embeddings.values()))),
        trained=SampleTable(tracks[:-n_held_out], *kinds),
        held_out=SampleTable(tracks[-n_held_out:], *kinds),
    )


def _policy_config(config: TrainConfig, robot: RobotSpec, side: int) -> PolicyConfig:
    return PolicyConfig(
        cameras=config.cameras,
        joint_names=robot.joint_names,
        rate_hz=config.rate_hz,
        horizon=config.horizon,
        action_size=robot.size,
        proprio_size=robot.size,
        image_size=config.image_size,
        centre_crop=False,
        latent_channels=LATENT_CHANNELS,
        latent_size=(side, side),
        independent_frames=True,
        sigma_max=80.0,
        sigma_min=4.0,
        rho=7.0,
        action_steps=5,
        future_steps=5,
        value_steps=5,
        value_kind='value',
        return_discount=config.return_discount,
    )


def _embed(task: str, config: TrainConfig) -> Tensor:
    """Return (L, D) float32 numbers that stand for a task, the same on every machine."""
    rng = np.random.RandomState(zlib.crc32(task.encode()))
    size = (config.transformer.text_tokens, config.transformer.text_dim)
    return torch.from_numpy(rng.standard_normal(size).astype(np.float32))


def _train_transformer(
    material: Material, work: Path, config: TrainConfig
) -> tuple[CosmosTransformer3DModel, dict[str, float]]:
    """Return the averaged weights and their figures on the episodes held out."""
    model = build_transformer(config, material.policy.latent_size[0]).train()
    average = copy.deepcopy(model).eval()
    # Fused element-wise work makes a step a quarter faster, after a minute of compiling.
    network = torch.compile(model) if config.compile else model
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, (0.9, 0.99),
        weight_decay=config.weight_decay, fused=True,
    )  # fmt: skip
    step = _resume(work / 'state.safetensors', model, average, optimizer)
    rng = np.random.default_rng((config.seed, step))
    generator = torch.Generator().manual_seed(config.seed + step)
    saved_s, log = time.monotonic(), (work / 'log.jsonl').open('a', encoding='utf-8')
    with Progress() as progress, log:
        bar = progress.add_task('transformer', total=config.updates, completed=step)
        sums: dict[str, float] = {}
        while step < config.updates:
            batch = material.trained.draw(config.batch_size, rng)
            for group in optimizer.param_groups:
                group['lr'] = config.learning_rate * learning_rate_factor(step, config)
            loss, errors = velocity_loss(
                network, batch, material.store, material.policy, material.stats, config, generator
            )
            if not torch.isfinite(loss):
                msg = f'the loss is not finite at step {step}; lower learning_rate and resume'
                raise ConfigError(msg)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            _follow(average, model, min(config.ema, (1 + step) / (10 + step)))
            for name, error in {'loss': loss.item(), **errors}.items():
                sums[name] = sums.get(name, 0.0) + error
            if step % 100 == 0:
                line = {'step': step, **{k: round(v / 100, 5) for k, v in sums.items()}}
                sums = {}
                if step % 1000 == 0:
                    line |= measure(average, material.held_out, material.store,
                                    material.policy, material.stats)  # fmt: skip
                log.write(json.dumps(line) + '\n')
                log.flush()
                progress.console.print(line)
            progress.update(bar, completed=step)
            if time.monotonic() - saved_s > SAVE_S or step == config.updates:
                _save(work / 'state.safetensors', model, average, optimizer, step)
                saved_s = time.monotonic()
    figures = measure(
        average, material.held_out, material.store, material.policy, material.stats, n=512
    )
    return average, figures


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Return the factor of the peak learning rate: linear up, constant, linear down to 0.

    Differs: the reference falls to 0.3 over a cycle and then stays at 0.06; with a flat middle the
    length of a run can be decided while it runs.
    """
    up = min(1.0, (step + 1) / max(1, config.warmup))
    down = min(1.0, (config.updates - step) / max(1, config.decay))
    return up * down


@torch.no_grad()
def _follow(average: torch.nn.Module, model: torch.nn.Module, decay: float) -> None:
    """Move the averaged weights towards the trained ones."""
    old: list[Tensor] = list(average.parameters())
    new: list[Tensor] = list(model.parameters())
    torch._foreach_lerp_(old, new, 1.0 - decay)


def _save(
    file: Path,
    model: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
) -> None:
    """Write the state of a run, whole or not at all."""
    moments = optimizer.state_dict()['state']
    state = {
        **{f'model/{k}': v for k, v in model.state_dict().items()},
        **{f'average/{k}': v for k, v in average.state_dict().items()},
        **{f'optimizer/{i}/{k}': v for i, row in moments.items() for k, v in row.items()},
        'step': torch.tensor(step),
    }
    partial = file.with_suffix('.partial')
    save_file(state, partial)
    partial.rename(file)


def _resume(
    file: Path,
    model: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
) -> int:
    """Return the step an interrupted run had reached, 0 for a new one, after loading its state.

    Raises:
        ConfigError: The state is damaged or of another network.
    """
    if not file.exists():
        return 0
    try:
        state = load_file(file)
        model.load_state_dict(_part(state, 'model'))
        average.load_state_dict(_part(state, 'average'))
    except (SafetensorError, RuntimeError) as error:
        msg = f'{file} does not fit this run ({error}); train into another folder or remove it'
        raise ConfigError(msg) from error
    moments: dict[int, dict[str, Tensor]] = {}
    for key, moment in _part(state, 'optimizer').items():
        index, name = key.split('/')
        moments.setdefault(int(index), {})[name] = moment
    optimizer.load_state_dict(
        {'state': moments, 'param_groups': optimizer.state_dict()['param_groups']}
    )
    step = int(state['step'])
    logger.info('continuing at step %d', step)
    return step


def _part(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(f'{name}/'): v for k, v in state.items() if k.startswith(f'{name}/')}
