# SPDX-License-Identifier: Apache-2.0
"""How HDF5 files of episodes are opened and made, whatever is in them.

The library does not come back from some damaged files, and ends the process where a disk is full.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from cosmos_policy_ros.data.hdf5_probe import Hdf5Probe
from cosmos_policy_ros.data.video import VideoError
from cosmos_policy_ros.types import ConfigError
import h5py

_PROBE = Hdf5Probe()
_DAMAGE = (
    OSError, LookupError, ValueError, TypeError, RuntimeError, MemoryError, VideoError,
    AttributeError, ArithmeticError,
)  # fmt: skip


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file of an episode in whatever goes wrong with it.

    Raises:
        ConfigError: Something of ``_DAMAGE`` went wrong.
    """
    try:
        yield
    except _DAMAGE as error:
        msg = f'episode {path}: {str(error) or type(error).__name__}'
        raise ConfigError(msg) from error


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Yield a file for reading, which the library comes back from; whatever goes wrong names it.

    Raises:
        ConfigError: It is damaged, or what is done with it fails as with a damaged one.
    """
    _PROBE.check(path)
    with naming(path), h5py.File(path, 'r') as file:
        yield file


class _Output(FileIO):
    """A file that notes the first write that failed and takes the others.

    HDF5 cannot close a file that could not be written: it writes again when the process ends,
    which then dies of it.
    """

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all bytes, or note why not."""
        if self.failure is None:
            try:
                self._write_all(memoryview(data))
            except OSError as error:
                self.failure = error
        return len(data)

    def _write_all(self, left: memoryview) -> None:
        while len(left):
            left = left[super().write(left) :]


@contextmanager
def create_hdf5(path: Path) -> Iterator[h5py.File]:
    """Yield a new HDF5 file.

    Raises:
        FileExistsError: It exists.
        OSError: It could not be written whole, as on a full disk.
    """
    with _Output(path, 'x+') as output:
        try:
            with h5py.File(output, 'w') as file:
                yield file
        finally:
            if output.failure is not None:
                raise output.failure
