"""Recordings inside other files of the packages.

Some games store their files in ZIP archives, under various suffixes, and one in a table of
resources (`queen.1c`), which starts with "QTBL" and the number of its entries.
"""

import re
import struct
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

ARCHIVE = re.compile(r"/(public|data)\.zip$|\.(pk3|wz)$|/queen\.1c$")
_MAGIC = b"QTBL"
_HEAD = struct.Struct(">4s6s2xBH")  # magic, version, compression, entries
_ENTRY = struct.Struct(">12sBII")  # name, file, offset, bytes
_MP3 = 1


def members(file: BinaryIO, wanted: re.Pattern) -> Iterator[tuple[str, bytes]]:
    """The names and contents of an archive's members whose names match `wanted`.

    Args:
      file: the archive, open for reading; its position can be set.
      wanted: searched for in each name.

    Raises:
      zipfile.BadZipFile: the archive is damaged.
    """
    if file.read(len(_MAGIC)) == _MAGIC:
        yield from _resources(file, wanted)
        return
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if wanted.search(name):
                yield name, archive.read(name)


def _resources(file: BinaryIO, wanted: re.Pattern) -> Iterator[tuple[str, bytes]]:
    """The dialogue of a table of resources: its entries *.SB are MP3 streams."""
    file.seek(0)
    *_, compression, count = _HEAD.unpack(file.read(_HEAD.size))
    table = file.read(count * _ENTRY.size)
    for name, _, offset, size in _ENTRY.iter_unpack(table):
        name = name.rstrip(b"\0").decode("ascii")
        if compression == _MP3 and name.endswith(".SB"):
            name = f"queen/{name.removesuffix('.SB')}.mp3"
            if wanted.search(name):
                file.seek(offset)
                yield name, file.read(size)
