"""`recipes/debian_audio/archives.py`, on small archives."""

import io
import re
import struct
import zipfile

import pytest

WANTED = re.compile(r"\.(ogg|mp3)$")


@pytest.fixture
def archives(script):
    return script("archives")


def resources(entries: dict[str, bytes], compression: int) -> bytes:
    """A table of resources, with its entries behind it."""
    offset, table, content = 15 + 21 * len(entries), b"", b""
    for name, data in entries.items():
        table += struct.pack(">12sBII", name.encode(), 1, offset + len(content), len(data))
        content += data
    head = struct.pack(">4s6sBBBH", b"QTBL", b"CEM10", 0, 0, compression, len(entries))
    return head + table + content


def test_members_of_a_zip_archive(archives):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("sound/bell.ogg", b"bell")
        archive.writestr("maps/one.bsp", b"map")
    file.seek(0)
    assert dict(archives.members(file, WANTED)) == {"sound/bell.ogg": b"bell"}


def test_dialogue_in_a_table_of_resources(archives):
    entries = {"0200A4P1.SB": b"first", "ROOM.PCX": b"picture", "0300J2.SB": b"second"}
    file = io.BytesIO(resources(entries, compression=1))
    assert dict(archives.members(file, WANTED)) == {
        "queen/0200A4P1.mp3": b"first",
        "queen/0300J2.mp3": b"second",
    }


def test_dialogue_of_another_compression_is_left_out(archives):
    file = io.BytesIO(resources({"0200A4P1.SB": b"first"}, compression=0))
    assert dict(archives.members(file, WANTED)) == {}


def test_a_damaged_archive(archives):
    with pytest.raises(zipfile.BadZipFile):
        list(archives.members(io.BytesIO(b"PK\x03\x04 and no more"), WANTED))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/share/games/0ad/mods/public/public.zip", True),
        ("/usr/share/games/ufoai/base/0snd.pk3", True),
        ("/usr/share/games/warzone2100/base.wz", True),
        ("/usr/share/scummvm/flight-of-the-amazon-queen/queen.1c", True),
        ("/usr/share/doc/game/manual.zip", False),
    ],
)
def test_which_files_are_archives(archives, path, expected):
    assert bool(archives.ARCHIVE.search(path)) is expected
