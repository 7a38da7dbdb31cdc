# SPDX-License-Identifier: Apache-2.0
"""The folder of a Cosmos 3 policy: what is published for diffusers, and ``policy.json``.

``transformer/`` and ``vae/`` (config.json and safetensors, in shards where they are large) ·
``text_tokenizer/`` · ``policy.json`` (Cosmos3Facts), which is written for a robot. Other folders
of the release are not read. Nothing is loaded from elsewhere, and nothing is pickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosmos_policy_ros.core.cosmos3.facts import read_cosmos3_facts
from cosmos_policy_ros.core.cosmos3.pipeline import make_pipeline
from cosmos_policy_ros.core.cosmos3.policy import Cosmos3Policy
from cosmos_policy_ros.core.device import open_device
from cosmos_policy_ros.types import ConfigError
from diffusers import AutoencoderKLWan, Cosmos3OmniTransformer, ModelMixin
from safetensors import SafetensorError
import torch

TRANSFORMER, VAE, TOKENIZER = 'transformer', 'vae', 'text_tokenizer'
WANTED = (f'{TRANSFORMER}/config.json', f'{VAE}/config.json', f'{TOKENIZER}/tokenizer.json')
# What damaged files end in, of libraries that check some of it and trip over the rest.
DAMAGE = (
    SafetensorError, OSError, ValueError, TypeError, AttributeError, LookupError, RuntimeError,
    ImportError, NotImplementedError, AssertionError,
)  # fmt: skip


def load_cosmos3(path: Path, device: str, precision: str) -> Cosmos3Policy:
    """Load the policy of a folder.

    Args:
        path: The folder.
        device: Torch device.
        precision: ``bfloat16`` or ``float32``, in which the weights are read one by one, so that
            there is no copy in another.

    Raises:
        ConfigError: Something is missing or damaged, the parts do not fit each other, or the
            device does not exist.
    """
    facts = read_cosmos3_facts(path / 'policy.json')
    for name in WANTED:
        if not (path / name).is_file():
            msg = (
                f'no file {path / name}; a Cosmos 3 policy needs {TRANSFORMER}, {VAE} and '
                f'{TOKENIZER} as diffusers has them, beside its policy.json'
            )
            raise ConfigError(msg)
    where = open_device(device)
    kind = {'bfloat16': torch.bfloat16, 'float32': torch.float32}[precision]
    transformer = _load_network(Cosmos3OmniTransformer, path / TRANSFORMER, kind)
    vae = _load_network(AutoencoderKLWan, path / VAE, kind)
    tokenizer = _load_tokenizer(path / TOKENIZER)
    try:
        pipeline = make_pipeline(transformer, tokenizer, vae, facts)
    except ConfigError as error:
        msg = f'{path}: {error}'
        raise ConfigError(msg) from error
    return Cosmos3Policy(pipeline.to(where))


def _load_network(cls: type[ModelMixin], path: Path, precision: torch.dtype) -> Any:
    """Read one network, set to inference.

    Raises:
        ConfigError: It is damaged, or the weights are of another network.
    """
    try:
        network, found = cls.from_pretrained(
            str(path),
            torch_dtype=precision,
            local_files_only=True,
            use_safetensors=True,
            low_cpu_mem_usage=True,
            output_loading_info=True,
        )
    except DAMAGE as error:
        msg = f'{path} does not hold a {cls.__name__} that can be read ({error}); copy it again'
        raise ConfigError(msg) from error
    wrong = [*found['missing_keys'], *(key for key, *_ in found['mismatched_keys'])]
    if wrong:
        msg = (
            f'{path}: the weights lack or have in another shape {len(wrong)} of a {cls.__name__}, '
            f'such as {wrong[0]}; they are of another network'
        )
        raise ConfigError(msg)
    return network.eval()


def _load_tokenizer(path: Path) -> Any:
    """Read the tokenizer, which ``tokenizer.json`` describes whatever class it was saved by.

    Raises:
        ConfigError: It is damaged.
    """
    from transformers import PreTrainedTokenizerFast  # loads slowly

    try:
        return PreTrainedTokenizerFast.from_pretrained(str(path), local_files_only=True)
    except DAMAGE as error:
        msg = f'{path} does not hold a tokenizer that can be read ({error}); copy it again'
        raise ConfigError(msg) from error
