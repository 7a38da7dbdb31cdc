# SPDX-License-Identifier: Apache-2.0
"""How a recording that nobody finished becomes a bag that opens.

A recorder that is killed leaves a folder with the suffix ``.partial``, an MCAP file that ends
anywhere and the custom data it began with, of which a power cut may leave nothing. All messages up
to the last whole chunk are copied into a new bag whose custom data has ``complete: 'false'``; only
then the folder is removed. One that was killed while it waited for the disk leaves a whole bag,
which only gets its name.
"""

from __future__ import annotations

import fcntl
import logging
from pathlib import Path
import shutil

from cosmos_policy_ros.data.bags.files import read_custom
from cosmos_policy_ros.data.bags.torn import is_finished, read_open_mcap, TORN
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.outputs import PARTIAL, rename, sync

logger = logging.getLogger(__name__)
RESCUE = '.rescue'  # suffix of a copy that is being made


def recover_all(folder: Path) -> list[Path]:
    """Finish every unfinished recording in a folder that no living process writes.

    One that cannot be finished is named in the log and stays as it is.

    Returns:
        The bags that were made.
    """
    for copy in folder.glob(f'*{RESCUE}*'):  # of a recovery that was cut off itself
        shutil.rmtree(copy)
    made = [_try_recover(partial) for partial in sorted(folder.glob(f'*{PARTIAL}'))]
    return [path for path in made if path is not None]


def recover(partial: Path) -> Path:
    """Finish one recording up to its last whole chunk and return the bag.

    Args:
        partial: Folder ``<name>.partial``.

    Raises:
        BlockingIOError: A living process writes it.
        ValueError: It holds no message.
        FileExistsError: The bag is there already.
        OSError: It cannot be read, or the bag cannot be written.
    """
    path = partial.with_name(partial.name.removesuffix(PARTIAL))
    if path.exists():  # a copy beside both would be an episode that counts twice
        msg = f'{path} is there already, as after a recovery that was killed at its end'
        raise FileExistsError(msg)
    torn = next(partial.glob('*.mcap'), None)
    if torn is None:
        msg = f'{partial} holds no MCAP file'
        raise ValueError(msg)
    details = {**read_custom(partial), 'complete': 'false'}
    with torn.open('rb') as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if read_custom(partial).get('complete') == 'true' and is_finished(torn):
            sync(partial)
            rename(partial, path)
            return path
        n = 0
        with BagWriter(path.with_name(path.name + RESCUE), details) as bag:
            for topic, msg_type, bag_ns, data in read_open_mcap(file):
                bag.write(topic, msg_type, data, bag_ns)
                n += 1
            if not n:
                msg = f'{partial} holds no whole chunk'
                raise ValueError(msg)
    rename(bag.path, path)
    shutil.rmtree(partial)
    logger.info('%s: %d messages recovered', path, n)
    return path


def is_being_recorded(partial: Path) -> bool:
    """Return whether a living process writes an unfinished recording."""
    for file in partial.glob('*.mcap'):
        with file.open('rb') as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def _try_recover(partial: Path) -> Path | None:
    """Return the bag, or None when there is none, which the log explains."""
    try:
        return recover(partial)
    except BlockingIOError:
        logger.info('%s is being recorded', partial)
    except TORN as error:
        logger.warning('%s cannot be recovered and stays: %s', partial, error)
    return None
