# SPDX-License-Identifier: Apache-2.0
"""Keys of a pedal or a keyboard as Linux reports them, read without any window or focus.

The device is grabbed: what is pressed reaches nobody else, so that a pedal types into no window.

Source: Linux ``Documentation/input/input.rst`` and ``include/uapi/linux/input.h``: an event is two
C longs of time, type and code of 16 bits and a value of 32.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import fcntl
import os
from pathlib import Path
import struct

from cosmos_policy_ros.types import ConfigError

EVENT = struct.Struct('@llHHi')
EV_KEY, PRESSED = 1, 1  # a value of 0 is a key that is let go, 2 one that repeats
EVIOCGRAB = 0x40044590


def open_pedal(path: Path) -> int:
    """Return the descriptor of an input device that is taken from everybody else.

    Args:
        path: Device, such as ``/dev/input/by-id/usb-pedal-event-kbd``.

    Raises:
        ConfigError: It is not there or may not be read.
    """
    try:
        device = os.open(path, os.O_RDONLY)
    except OSError as error:
        msg = f'pedal {path} cannot be read ({error.strerror}); the devices are in '
        msg += '/dev/input/by-id, and reading them needs the group input'
        raise ConfigError(msg) from error
    with contextlib.suppress(OSError):  # what cannot be grabbed is no device, as a pipe in a test
        fcntl.ioctl(device, EVIOCGRAB, 1)
    return device


def read_keys(device: int) -> Iterator[int]:
    """Yield the code of every key that is pressed, until the device is unplugged or closed.

    Args:
        device: Descriptor that ``open_pedal`` returned.
    """
    read = b''
    while True:
        try:
            added = os.read(device, 64 * EVENT.size)
        except OSError:
            return
        if not added:
            return
        read += added
        while len(read) >= EVENT.size:
            _, _, kind, code, value = EVENT.unpack_from(read)
            read = read[EVENT.size :]
            if (kind, value) == (EV_KEY, PRESSED):
                yield code
