# SPDX-License-Identifier: Apache-2.0
"""What packets of H.264 and H.265 say before they are decoded: key frames, and lost ones."""

from __future__ import annotations

MOST_BITS = 16  # of a frame number of H.264


def has_key_frame(data: bytes, codec: str) -> bool:
    """Return whether a packet has a picture that needs none before it.

    Args:
        data: The packet, in Annex B format.
        codec: ``h264`` or ``hevc``.
    """
    if codec == 'h264':
        return any(unit[0] & 0x1F == 5 for unit in _units(data))
    return any(16 <= (unit[0] >> 1) & 0x3F <= 21 for unit in _units(data))


def _units(data: bytes) -> list[bytes]:
    """Return the NAL units of an Annex B packet."""
    return [unit for unit in data.split(b'\0\0\1')[1:] if unit]


class FrameNumbers:
    """Whether frames of H.264 follow each other: one that was lost had a number too.

    Source: ITU-T H.264, 7.3.2.1 (sequence parameters), 7.3.3 (slice header), 7.4.3 (frame_num).
    """

    def __init__(self) -> None:
        """Start before the sequence parameters."""
        self._n_bits = 0  # of a frame number; 0 where it is not known, or numbers may be left out
        self._last: int | None = None

    def miss_one(self, data: bytes) -> bool:
        """Return whether a frame between the last packet and this one is missing.

        Args:
            data: The packet, in Annex B format.
        """
        missing = False
        for unit in _units(data):
            kind = unit[0] & 0x1F
            if kind == 7:
                self._n_bits = _read_sequence(_Bits(unit))
            elif kind in (1, 5) and self._n_bits:
                bits = _Bits(unit)
                bits.number(), bits.number(), bits.number()  # macroblock, type, parameter set
                number, last = bits.take(self._n_bits), self._last
                # a frame that none refers to has the number of the next one
                follows = last is None or (number - last) % (1 << self._n_bits) in (0, 1)
                missing = missing or (kind == 1 and not follows)
                self._last = number
        return missing


class _Bits:
    """The first bits of a NAL unit behind its header; zeros behind its end."""

    def __init__(self, unit: bytes) -> None:
        data = unit[1:128].replace(b'\0\0\3', b'\0\0')
        self._text = ''.join(f'{byte:08b}' for byte in data)
        self._at = 0

    def take(self, n: int) -> int:
        """Return the next n bits as a number."""
        self._at += n
        return int(self._text[self._at - n : self._at].ljust(n, '0') or '0', 2)

    def number(self) -> int:
        """Return the next Exp-Golomb number."""
        zeros = max(self._text.find('1', self._at) - self._at, 0)
        self._at += zeros
        return self.take(zeros + 1) - 1


def _read_sequence(bits: _Bits) -> int:
    """Return how many bits a frame number has, 0 where numbers say nothing of what is missing."""
    profile = bits.take(8)
    bits.take(16)  # constraints, level
    bits.number()
    if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
        planes = bits.number() == 3 and bits.take(1)
        bits.number(), bits.number(), bits.take(1)  # depths of luma and chroma, lossless
        if planes or bits.take(1):  # scaling lists, which no camera sends
            return 0
    n_bits, order = bits.number() + 4, bits.number()
    if order == 0:
        bits.number()
    elif order == 1:
        bits.take(1), bits.number(), bits.number()
        for _ in range(min(bits.number(), 255)):
            bits.number()
    bits.number()  # reference frames
    may_miss = bits.take(1)
    return 0 if may_miss or n_bits > MOST_BITS else n_bits
