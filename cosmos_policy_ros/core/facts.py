# SPDX-License-Identifier: Apache-2.0
"""What is known of a checkpoint folder before its networks are loaded, whatever kind it is of."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.config_file import read_mapping
from cosmos_policy_ros.core.config import PolicyConfig, read_config, read_embedded_tasks
from cosmos_policy_ros.core.cosmos3.facts import Cosmos3Facts, KIND, read_cosmos3_facts


def read_facts(folder: Path) -> PolicyConfig | Cosmos3Facts:
    """Read the ``policy.json`` of a checkpoint folder, without loading torch.

    Raises:
        ConfigError: The file is missing, no JSON, or has an unknown, missing or wrong field.
    """
    file = folder / 'policy.json'
    data = read_mapping(file, 'policy file', 'the checkpoint folder is incomplete')
    return read_cosmos3_facts(file) if data.get('kind') == KIND else read_config(file)


def read_tasks(folder: Path) -> tuple[str, ...]:
    """Return the instructions that a checkpoint folder knows, without loading torch.

    Raises:
        ConfigError: As ``read_facts``, or the file of the text embeddings is missing or damaged.
    """
    facts = read_facts(folder)
    if isinstance(facts, Cosmos3Facts):
        return facts.tasks
    return read_embedded_tasks(folder / 'text_embeddings.safetensors')
