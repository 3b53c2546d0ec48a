"""Pack an APK: python3 pack.py OUTPUT.apk LINKED.apk FOLDER [--store_libraries]

Takes the entries of what aapt2 linked and the files below a folder. The same input gives the same
bytes: entries in order of their names, all of one date. What Android maps into memory is stored as
it is, at multiples of 16384 bytes, the largest page that phones have; the rest is compressed.
"""

import pathlib
import struct
import sys
import zipfile

PAGE = 16_384
DATE = (1980, 1, 1, 0, 0, 0)
LOCAL_HEADER_BYTES = 30
ALIGNMENT_FIELD = 0xD935  # of APKs: tells apksigner to keep to this alignment


def is_stored(name: str, store_libraries: bool) -> bool:
    """Whether an entry is mapped into memory, and therefore stored uncompressed."""
    return name == "resources.arsc" or name.endswith(".tflite") or is_library(name, store_libraries)


def is_library(name: str, store_libraries: bool) -> bool:
    return store_libraries and name.startswith("lib/") and name.endswith(".so")


def padding(offset: int, name: str) -> bytes:
    """The extra field that moves an entry's content to a multiple of `PAGE`."""
    content = offset + LOCAL_HEADER_BYTES + len(name.encode()) + 6
    zeros = bytes(-content % PAGE)
    return struct.pack("<HHH", ALIGNMENT_FIELD, 2 + len(zeros), PAGE) + zeros


def entries(linked: pathlib.Path, folder: pathlib.Path) -> dict[str, bytes]:
    """Content by name: the files linked by aapt2 and those in the folder."""
    with zipfile.ZipFile(linked) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    for path in folder.rglob("*"):
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def pack(output: pathlib.Path, contents: dict[str, bytes], store_libraries: bool) -> None:
    with zipfile.ZipFile(output, "w") as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, DATE)
            entry.external_attr = 0o644 << 16
            if is_stored(name, store_libraries):
                entry.extra = padding(archive.fp.tell(), name)
                archive.writestr(entry, contents[name])
            else:
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, contents[name], compresslevel=9)


def main() -> None:
    output, linked, folder, *options = sys.argv[1:]
    contents = entries(pathlib.Path(linked), pathlib.Path(folder))
    pack(pathlib.Path(output), contents, "--store_libraries" in options)


if __name__ == "__main__":
    main()
