"""Seeded damage to the content of a file."""

import random
import struct
from collections.abc import Callable

Damage = Callable[[random.Random, bytes], bytes]

_EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x0000FFFF, 0x00010000, 0x7F800000)


def cut(rng: random.Random, content: bytes) -> bytes:
    """The beginning alone, as after a full disk."""
    return content[: rng.randrange(len(content))]


def flip_bits(rng: random.Random, content: bytes) -> bytes:
    """One to 64 bits, as bad memory leaves them."""
    changed = bytearray(content)
    for _ in range(2 ** rng.randrange(7)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_bits_early(rng: random.Random, content: bytes) -> bytes:
    """Bits of the first kilobyte, where headers are."""
    return flip_bits(rng, content[:1024]) + content[1024:]


def flip_bits_late(rng: random.Random, content: bytes) -> bytes:
    """Bits of the last 4 kilobytes, where ZIP files and flatbuffers have their tables."""
    return content[:-4096] + flip_bits(rng, content[-4096:])


def blank(rng: random.Random, content: bytes) -> bytes:
    """A stretch of zeros, as after a crash of the machine."""
    start, length = _stretch(rng, content)
    return content[:start] + bytes(length) + content[start + length :]


def remove(rng: random.Random, content: bytes) -> bytes:
    """A stretch is missing."""
    start, length = _stretch(rng, content)
    return content[:start] + content[start + length :]


def repeat(rng: random.Random, content: bytes) -> bytes:
    """A stretch is there twice."""
    start, length = _stretch(rng, content)
    return content[: start + length] + content[start:]


def extreme_numbers(rng: random.Random, content: bytes) -> bytes:
    """Some 32-bit numbers become extreme, as in a file that somebody made to do harm."""
    changed = bytearray(content)
    for _ in range(2 ** rng.randrange(5)):
        place = rng.randrange(max(1, len(content) // 4)) * 4
        changed[place : place + 4] = struct.pack("<I", rng.choice(_EXTREMES))
    return bytes(changed[: len(content)])


def noise(rng: random.Random, content: bytes) -> bytes:
    """Random bytes after the right beginning."""
    return content[:16] + rng.randbytes(rng.randrange(4096))


def empty(rng: random.Random, content: bytes) -> bytes:
    """No bytes."""
    return b""


DAMAGES: tuple[Damage, ...] = (
    *(cut, flip_bits, flip_bits, flip_bits_early, flip_bits_late, blank, remove, repeat),
    *(extreme_numbers, extreme_numbers, noise, empty),
)


def damaged(rng: random.Random, content: bytes) -> tuple[str, bytes]:
    """The name of a kind of damage, and damaged content."""
    damage = rng.choice(DAMAGES)
    return damage.__name__, damage(rng, content) if content else content


def _stretch(rng: random.Random, content: bytes) -> tuple[int, int]:
    return rng.randrange(len(content)), 2 ** rng.randrange(1, max(2, len(content).bit_length()))
