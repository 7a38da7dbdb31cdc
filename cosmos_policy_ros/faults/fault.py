# SPDX-License-Identifier: Apache-2.0
"""One kind of fault: what it does, when, for how long, and what is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cosmos_policy_ros.faults.bench import FaultBench
from cosmos_policy_ros.faults.verdict import Moment, Reaction, Wanted

Act = Callable[[FaultBench], None]


def nothing(_bench: FaultBench) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        name: Its name in tables and files.
        about: What happens, in a few words.
        wanted: What is right.
        begin: Lets it happen; it may let time pass with ``FaultBench.pause``.
        lasts_s: How long it is watched before ``end`` [s].
        end: Lets it be over.
        moments: When it is injected; the first one only in a quick campaign.
        after_s: How long it is watched after ``end`` [s].
    """

    name: str
    about: str
    wanted: Wanted
    begin: Act
    lasts_s: float = 0.8
    end: Act = nothing
    moments: tuple[Moment, ...] = ('moving', 'late')
    after_s: float = 1.0


def fault(
    name: str,
    about: str,
    reaction: Reaction,
    limit_s: float,
    begin: Act,
    lasts_s: float = 0.8,
    end: Act = FaultBench.undo,
    moments: tuple[Moment, ...] = ('moving', 'late'),
    after_s: float = 1.0,
    release_s: float = 0.0,
) -> Fault:
    """Return a kind of fault that is undone at its end; see ``Fault`` and ``Wanted``."""
    wanted = Wanted(reaction, limit_s, release_s)
    return Fault(name, about, wanted, begin, lasts_s, end, moments, after_s)
