# SPDX-License-Identifier: Apache-2.0
"""A checkpoint's network for a faster runtime, kept only if it answers what the original does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosmos_policy_ros.backends import load_policy
from cosmos_policy_ros.backends.engines import find_engine, read_note, write_engine
from cosmos_policy_ros.backends.onnx_backend import FILE, KIND, onnx_facts, OnnxBackend, write_onnx
from cosmos_policy_ros.backends.parity import compare_answers, made_up_observations, refuse_worse
from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.types import ConfigError


def export(
    path: Path, queries: int = 8, max_error_rad: float = 0.001, again: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Write the ONNX file of a checkpoint unless it is there.

    Args:
        path: Checkpoint folder.
        queries: Made-up queries that both networks answer.
        max_error_rad: Largest difference of an action that is accepted [rad; gripper 0..1].
        again: Write it even if it is there.

    Returns:
        The engine's folder, and the report of ``compare_answers``.

    Raises:
        ConfigError: The checkpoint is damaged, a package is missing, or the answers differ.
    """
    facts = onnx_facts(path)
    try:
        found = None if again else find_engine(path, KIND, facts)
    except ConfigError:  # damaged: this makes it whole again
        found = None
    if found:
        return found, read_note(found)['parity']

    def make(folder: Path) -> dict[str, Any]:
        truth = load_policy(path, 'diffusers', precision='float32')
        checkpoint = load_checkpoint(path)
        write_onnx(folder / FILE, checkpoint)
        policy = load_policy(path, 'torch', precision='float32')
        policy.backend = OnnxBackend(folder / FILE, checkpoint)
        report = compare_answers(policy, truth, made_up_observations(truth, queries))
        refuse_worse(report, max_error_rad)
        return {'parity': report}

    folder = write_engine(path, KIND, facts, make)
    return folder, read_note(folder)['parity']
