# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy import-weights``: NVIDIA's official files to a checkpoint folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cosmos_policy_ros.core.official.presets import Preset
import tyro


@dataclass(frozen=True, kw_only=True)
class ImportWeights:
    """Make a checkpoint folder from NVIDIA's Cosmos Policy or Cosmos-Predict2-2B files.

    The files are downloaded by you, under their own licences. OUT appears whole or not at all,
    after every name and shape was compared with the network. Of pickles nothing but tensors is
    read, and nothing in them is run.

    Example: cosmos-policy import-weights downloads/ --preset aloha --out models/cosmos_aloha
    """

    src: tyro.conf.Positional[Path | None] = None
    """Folder, with subfolders, in which the parts are recognised by their names."""
    out: Path
    """Checkpoint folder to make."""
    preset: Preset
    """Which release: sets cameras, sizes, horizon, noise levels, steps and kind of value."""
    transformer: Path | None = None
    """Consolidated .pt (or .safetensors with its names), or diffusers folder, also in shards."""
    vae: Path | None = None
    """tokenizer.pth of Wan 2.1, or diffusers folder."""
    stats: Path | None = None
    """*_dataset_statistics.json"""
    text: Path | None = None
    """*_t5_embeddings as .pkl, .pt, .pth or .safetensors."""
    precision: Literal['source', 'float32', 'bfloat16', 'float16'] = 'source'
    """Precision of both networks on disk."""
    action_steps: int | None = None
    """Denoising steps of an action chunk, by default those of the preset. Try 1 first: it answers
    in a fifth to a tenth of the time, and RoboCasa came to 66.4 instead of 67.1 % with it in the
    paper."""


def run(options: ImportWeights) -> int:
    """Find the parts, import them, print what came from where."""
    # late: torch and diffusers load slowly
    from cosmos_policy_ros.core.official.release import import_release, PATTERNS

    parts, networks = import_release(
        options.out,
        options.preset,
        options.src,
        {part: getattr(options, part) for part in PATTERNS},
        None if options.precision == 'source' else options.precision,
        options.action_steps,
    )
    for part, path in parts.items():
        print(f'{part:12} {path}')
    for name, network in networks.items():
        size_mb = sum(f.stat().st_size for f in (options.out / name).iterdir()) * 1e-6
        print(
            f'{name}: {len(network.weights)} tensors, {size_mb:.1f} MB; {network.n_beside} keys '
            f'that are no weights left out'
        )
    print(f'{options.out}: checkpoint folder of the preset {options.preset}')
    return 0
