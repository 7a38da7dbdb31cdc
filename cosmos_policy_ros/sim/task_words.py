# SPDX-License-Identifier: Apache-2.0
"""Synonyms of the simulated tasks together, for a matcher of paraphrases.

Each task has its own beside its instruction, in its file in ``experts/``.
"""

from __future__ import annotations

from cosmos_policy_ros.sim.experts.table import EXPERTS


def task_synonyms() -> dict[str, str]:
    """Return word of an instruction -> words that may stand for it, separated by spaces."""
    rows = [row for expert in EXPERTS.values() for row in expert.task.synonyms.items()]
    return {word: ' '.join(also for name, also in rows if name == word) for word, _ in rows}
