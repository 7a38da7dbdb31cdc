# SPDX-License-Identifier: Apache-2.0
"""What a person says about recordings that do not say it themselves, and what was taken for it.

Files of other recorders lack labels, name topics otherwise, or leave open in which order their
colours are. What cannot be told from a file is asked for by the name of the option that says it,
and what was taken is one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
import logging
from typing import Literal

from cosmos_policy_ros.data.assemble import Labels
from cosmos_policy_ros.data.rosetta.contract import Contract
from cosmos_policy_ros.data.units import Units

logger = logging.getLogger(__name__)
Colours = Literal['rgb', 'bgr']
Stamps = Literal['header', 'arrival']
Actions = Literal['command', 'leader', 'state-next']
Left = Literal['base', 'padding']
COMPLETING = {  # label -> option that says it for recordings that do not
    'task': '--task',
    'source': '--source',
    'success': '--success',
    'rate_hz': '--fps',
}


@dataclass(frozen=True)
class Reading:
    """How recordings are to be read where they leave it open.

    Attributes:
        labels: Labels of episodes that do not have them.
        images: Order of the colours that an ordinary decoder leaves of the images of HDF5 files
            and LeRobot data sets; None goes by the marks of the recorder. That of bags is in their
            encodings and the robot file, as it is on the running robot.
        stamps: Which time of a message of a bag counts: that in its header, or that of its
            arrival. None is the header, and refuses clocks that differ.
        actions: What the actions are: the commands that were sent, what the leader arms commanded,
            or the measured joints one row later. None is the commands, and refuses without them.
        topics: Topic of the robot file -> its name in a bag, or for a camera its key in a file or
            data set.
        contract: Says what topics of bags and columns of LeRobot data sets are, in place of the
            contract that they may have.
        drop: What rows of files have too much: ``base``, the last two columns, of a mobile base;
            ``padding``, the rows of zeros at the end.
        units: Units of the joints of HDF5 files and LeRobot data sets; None are radians.
        other_robot: Whether a data set of a robot of another name is read that has the joints.
    """

    labels: Labels = field(default_factory=Labels)
    images: Colours | None = None
    stamps: Stamps | None = None
    actions: Actions | None = None
    topics: Mapping[str, str] = field(default_factory=dict)
    contract: Contract | None = None
    drop: tuple[Left, ...] = ()
    units: Units | None = None
    other_robot: bool = False


def complete(found: Labels, reading: Reading, where: str) -> Labels:
    """Return the labels of a recording, with what a person says where it says nothing itself.

    Args:
        found: What the recording says.
        reading: What a person says.
        where: Folder or data set, for the line that tells what is not taken.
    """
    for name, option in COMPLETING.items():
        note_other(where, option, getattr(reading.labels, name), getattr(found, name))
    return found.completed(reading.labels)


def wants_next_rows(reading: Reading) -> bool:
    """Return whether the actions of rows are the measured joints one row later.

    Raises:
        ValueError: They are to be those of leader arms, which rows do not have.
    """
    if reading.actions == 'leader':
        msg = (
            'its rows hold no leader arms, as bags do: --actions state-next, or without --actions'
        )
        raise ValueError(msg)
    return reading.actions == 'state-next'


def note_other(where: str, option: str, said: object, own: object) -> None:
    """Log that an option is not taken where a recording says something else itself."""
    if None not in (said, own) and said != own:
        note(where, f'{option} {said} is not taken: it says {own} itself, see episodes relabel')


def note_units(where: str, reading: Reading) -> None:
    """Log in which units the joints of rows are taken, where a person says that.

    Args:
        where: Folder or data set.
        reading: What a person says.
    """
    if reading.units is not None:
        taken = {'percent': '-100 to 100 per cent of the ranges in the robot file'}
        joints = taken.get(reading.units, reading.units)
        what = f'its joints are taken as {joints}, its grippers as 0 to 100 per cent open'
        note(where, f'{what}, as --units says; velocities are left out')


@lru_cache(maxsize=1024)
def note(where: str, what: str) -> None:
    """Log one line about the files of a folder, once however many of them it holds for.

    Args:
        where: The folder or data set.
        what: What was taken, and how to say otherwise.
    """
    logger.warning('%s: %s', where, what)
