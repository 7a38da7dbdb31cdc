# SPDX-License-Identifier: Apache-2.0
"""One training run from a folder of bags to a checkpoint, resumable after every stage.

1. bags -> pictures and tracks · 2. autoencoder · 3. latents of all pictures · 4. transformer ·
5. checkpoint. ``<out>/work`` keeps what a resumed run needs; it may be deleted afterwards.
"""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
import time

from cosmos_policy_ros.core.checkpoint import load_checkpoint, save_checkpoint
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.training.autoencoder import LATENT_CHANNELS
from cosmos_policy_ros.training.batch import velocity_loss
from cosmos_policy_ros.training.config import TrainConfig, write_train_config
from cosmos_policy_ros.training.material import load_autoencoder, load_material, Material
from cosmos_policy_ros.training.measure import measure
from cosmos_policy_ros.training.prepare import prepare_bags
from cosmos_policy_ros.training.state import load_state, save_state
from cosmos_policy_ros.types import ConfigError
from diffusers import CosmosTransformer3DModel
import numpy as np
from rich.progress import Progress
import torch
from torch import Tensor

logger = logging.getLogger(__name__)
SAVE_S = 300.0  # [s] between two saved states


def train(
    data: Path, out: Path, robot: RobotSpec, config: TrainConfig, init: Path | None = None
) -> dict[str, float]:
    """Train, write the checkpoint to ``out`` and return its figures.

    Args:
        data: Folder of bags.
        out: Checkpoint folder; an interrupted run in it is continued.
        robot: Robot of the bags.
        config: What to do.
        init: Checkpoint whose networks the run starts from; None starts from scratch.

    Raises:
        ConfigError: The data or ``init`` cannot be used.
    """
    work = out / 'work'
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    start = load_checkpoint(init) if init else None
    # 1. bags -> pictures and tracks
    files = prepare_bags(data, work / 'episodes', robot, config)
    # 2. autoencoder
    vae = load_autoencoder(files, work, config, start.vae if start else None)
    # 3. latents
    material = load_material(files, vae, work, robot, config)
    # 4. transformer
    transformer, figures = _train_transformer(
        material, work, config, start.transformer if start else None
    )
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


def _train_transformer(
    material: Material, work: Path, config: TrainConfig, start: CosmosTransformer3DModel | None
) -> tuple[CosmosTransformer3DModel, dict[str, float]]:
    """Return the averaged weights and their figures on the episodes held out."""
    torch.manual_seed(config.seed)  # the same start whether stages 1 to 3 ran now or before
    model = build_transformer(config, material.policy.latent_size[0]).train()
    if start is not None:
        try:
            model.load_state_dict(start.state_dict())
        except RuntimeError as mismatch:
            msg = f'init has a transformer of another size than this run: {mismatch}'
            raise ConfigError(msg) from mismatch
    average = copy.deepcopy(model).eval()
    # Fused element-wise work makes a step a quarter faster, after a minute of compiling.
    network = torch.compile(model) if config.compile else model
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, (0.9, 0.99),
        weight_decay=config.weight_decay, fused=True,
    )  # fmt: skip
    step = load_state(work / 'state.safetensors', model, average, optimizer)
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
                save_state(work / 'state.safetensors', model, average, optimizer, step)
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
