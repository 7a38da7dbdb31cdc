# SPDX-License-Identifier: Apache-2.0
"""A tiny random Cosmos 3 policy of the real classes, in a folder as it is published, for tests."""

from __future__ import annotations

from dataclasses import asdict, replace
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.core.cosmos3.facts import Cosmos3Facts, FORMAT_VERSION, KIND, View
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import Observation
from diffusers import Cosmos3OmniTransformer
import numpy as np
from tiny import tiny_vae
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
import torch
from transformers import PreTrainedTokenizerFast

EMBODIMENT = 17  # of the robot, which the network calls a domain
TASK, OTHER_TASK = 'lift the cup', 'open the drawer'
WORDS = ('<unk>', '<|im_end|>', 'user', 'assistant', *TASK.split(), 'open', 'drawer', 'views')
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant' }}{% endif %}"
)
FACTS = Cosmos3Facts(
    views=(View('high', 0, 0, 64, 48), View('left', 0, 48, 32, 24), View('right', 32, 48, 32, 24)),
    joint_names=('left/waist', 'left/gripper', 'right/waist', 'right/gripper'),
    joint_low=(-1.0,) * 4,
    joint_high=(1.0,) * 4,
    rate_hz=12.5,
    horizon=8,
    action_steps=4,
    flow_shift=5.0,
    guidance=3.0,
    domain_id=EMBODIMENT,
    resolution=256,
    tasks=(TASK, OTHER_TASK),
    viewpoint='concat_view',
    view_description='The views of two cameras are below.',
    state_row=True,
)


def robot_facts(robot: RobotSpec, **changes: Any) -> Cosmos3Facts:
    """Return the facts of a policy for a robot, its cameras side by side."""
    views = tuple(View(c.name, 64 * i, 0, 64, 48) for i, c in enumerate(robot.cameras))
    facts = replace(
        FACTS,
        views=views,
        joint_names=robot.joint_names,
        joint_low=tuple(robot.lower.tolist()),
        joint_high=tuple(robot.upper.tolist()),
    )
    return replace(facts, **changes)


def tiny_transformer(**changes: Any) -> Cosmos3OmniTransformer:
    """Return a random network for latents of 4 channels and up to 16 action numbers."""
    torch.manual_seed(2)
    sizes: dict[str, Any] = {
        'head_dim': 12,
        'hidden_size': 24,
        'intermediate_size': 32,
        'latent_channel': 4,
        'patch_latent_dim': 16,
        'num_attention_heads': 2,
        'num_hidden_layers': 2,
        'num_key_value_heads': 1,
        'rope_scaling': {'mrope_section': [2, 2, 2]},
        'action_dim': 16,
        'action_gen': True,
        'num_embodiment_domains': 20,
        'vocab_size': 32,
    }
    network = Cosmos3OmniTransformer(**{**sizes, **changes})
    if network.action_gen:
        for layer in (network.action_proj_in, network.action_proj_out):
            layer.fc.weight.data *= 0.1  # so that actions are of the size of joints
    return network.eval()


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of a few words, with the marks that the pipeline needs."""
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(WORDS))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token='<unk>'))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens([AddedToken('<|vision_start|>'), AddedToken('<|im_end|>')])
    marks = {'unk_token': '<unk>', 'eos_token': '<|im_end|>'}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)
    wrapped.chat_template = TEMPLATE
    return wrapped


def write_facts(folder: Path, facts: Cosmos3Facts) -> None:
    """Write ``policy.json`` as a person would."""
    data = {'kind': KIND, 'format_version': FORMAT_VERSION, **asdict(facts)}
    (folder / 'policy.json').write_text(json.dumps(data, indent=2))


def save_tiny_cosmos3(folder: Path, facts: Cosmos3Facts = FACTS) -> None:
    """Save a tiny random policy as diffusers does, with a ``policy.json``."""
    tiny_transformer().save_pretrained(folder / 'transformer')
    tiny_vae(independent=False).save_pretrained(folder / 'vae')
    tiny_tokenizer().save_pretrained(folder / 'text_tokenizer')
    write_facts(folder, facts)


def cosmos3_observation(**changes: Any) -> Observation:
    """Return an observation with noise images of 40x30 pixels."""
    numbers = np.random.default_rng(3)
    images = {c: numbers.integers(0, 256, (30, 40, 3), dtype=np.uint8) for c in FACTS.cameras}
    proprio = np.array([0.5, -0.5, 1.0, 0.0], dtype=np.float32)
    return replace(Observation(7, images, proprio, TASK), **changes)
