"""Packing an APK by android_demo/apk/pack.py."""

import pathlib
import struct
import subprocess
import sys
import zipfile

import pytest

PACK = pathlib.Path(__file__).parents[2] / "android_demo" / "apk" / "pack.py"
PAGE = 16_384
CONTENTS = {
    "classes.dex": b"dex\n" * 1000,
    "assets/model.tflite": bytes(range(256)) * 30,
    "assets/a name that is longer.json": b"{}",
    "lib/arm64-v8a/libone.so": b"\x7fELF" * 5000,
    "lib/arm64-v8a/libtwo.so": b"\x7fELF" * 300,
}


@pytest.fixture
def linked(tmp_path) -> pathlib.Path:
    path = tmp_path / "linked.apk"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("resources.arsc", b"\x02\x00" * 99)
        archive.writestr("AndroidManifest.xml", b"\x03\x00" * 500)
    return path


def write(folder: pathlib.Path, names: list[str]) -> pathlib.Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENTS[name])
    return folder


def pack(linked: pathlib.Path, folder: pathlib.Path, *options: str) -> pathlib.Path:
    output = linked.parent / f"{folder.name}{len(options)}.apk"
    subprocess.run([sys.executable, PACK, output, linked, folder, *options], check=True)
    return output


def content_offset(path: pathlib.Path, entry: zipfile.ZipInfo) -> int:
    with path.open("rb") as file:
        file.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
    return entry.header_offset + 30 + name + extra


def test_everything_is_there(tmp_path, linked):
    packed = pack(linked, write(tmp_path / "a", list(CONTENTS)))
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted([*CONTENTS, "resources.arsc", "AndroidManifest.xml"])
        for name, content in CONTENTS.items():
            assert archive.read(name) == content


def test_the_same_input_gives_the_same_bytes(tmp_path, linked):
    one = pack(linked, write(tmp_path / "one", list(CONTENTS)))
    other = pack(linked, write(tmp_path / "other", list(reversed(CONTENTS))))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("options", [(), ("--store_libraries",)])
def test_mapped_files_are_stored_and_page_aligned(tmp_path, linked, options):
    packed = pack(linked, write(tmp_path / "a", list(CONTENTS)), *options)
    stored = {"resources.arsc", "assets/model.tflite"}
    if options:
        stored |= {name for name in CONTENTS if name.endswith(".so")}
    with zipfile.ZipFile(packed) as archive:
        entries = archive.infolist()
    assert {e.filename for e in entries if e.compress_type == zipfile.ZIP_STORED} == stored
    for entry in entries:
        if entry.filename in stored:
            assert content_offset(packed, entry) % PAGE == 0, entry.filename
