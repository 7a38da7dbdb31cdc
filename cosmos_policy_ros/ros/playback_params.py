# SPDX-License-Identifier: Apache-2.0
"""Parameters of how chunks are played, which more than one node has to know."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_policy_ros.control.seams import PlaybackSettings
from cosmos_policy_ros.ros.params import param


@dataclass(frozen=True)
class PlaybackParams:
    """Parameters of the node that plays chunks and of the one that foresees what is played."""

    seam: str = param(
        PlaybackSettings.seam,
        'How a new chunk takes over, a row of SEAMS in control/seams.py; committed begins it with '
        'the rows that are played until it comes, blend only moves smoothly from the old one, '
        'official plays a chunk out and asks while the arms stand.',
    )
    interpolation: str = param(
        PlaybackSettings.interpolation,
        'The way between the rows of a chunk, a row of INTERPOLATIONS there; spline is '
        'smooth, linear meets every row and jerks.',
    )
    blend_s: float = param(
        PlaybackSettings.blend_s,
        'How long a new chunk takes to take over [s]; a shorter time reacts faster and is '
        'jerkier.',
        0.0,
        5.0,
    )

    @property
    def playback(self) -> PlaybackSettings:
        """How chunks are played.

        Raises:
            ConfigError: A row does not exist.
        """
        return PlaybackSettings(self.seam, self.interpolation, self.blend_s)
