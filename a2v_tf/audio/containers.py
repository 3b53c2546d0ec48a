"""What kind of file some bytes begin like, to tell a file from raw samples."""

from __future__ import annotations

from typing import Any

# First bytes of files of sound, and of what is piped by mistake.
_MAGIC = {
    b"RIFF": "WAV",
    b"RIFX": "WAV (RIFX)",
    b"RF64": "WAV (RF64)",
    b"BW64": "WAV (BW64)",
    b"riff": "Wave64",
    b"FORM": "AIFF",
    b".snd": "AU",
    b"dns.": "AU",
    b"caff": "CAF",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"ID3": "MP3",
    b"\x1a\x45\xdf\xa3": "WebM or Matroska",
    b"\x30\x26\xb2\x75": "WMA",
    b"#!AMR": "AMR",
    b".SoX": "SoX",
    b"XoS.": "SoX",
    b"wvpk": "WavPack",
    b"TTA1": "True Audio",
    b"MAC ": "Monkey's Audio",
    b"MPCK": "Musepack",
    b"MP+": "Musepack",
    b"tBaK": "TAK",
    b"ajkg": "Shorten",
    b"NIST_1A": "NIST SPHERE",
    b"Creative Voice File": "VOC",
    b"DSD ": "DSF",
    b"FRM8": "DSDIFF",
    b".RMF": "RealMedia",
    b"FLV": "FLV",
    b"\x00\x00\x01\xba": "MPEG",
    b"\x93NUMPY": "NumPy",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"%PDF": "PDF",
    b"PK\x03\x04": "ZIP",
    b"\x1f\x8b\x08": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x7fELF": "program",
}
_MP4_ATOMS = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"})
_FRAMES = {"mp3float": "MP3", "mp2float": "MP2", "aac": "AAC", "ac3": "AC-3", "dca": "DTS"}
_ENOUGH_FRAMES = 3
_TS_PACKET, _TS_SYNC = 188, 0x47

# Bytes that tell; of frames such as those of MP3, which begin like some sample, several are needed.
ENOUGH = 64
ENOUGH_FRAMES = 8_192


def kind(head: bytes) -> str | None:
    """Name what a file of sound, or of another kind, begins with `head`; None for raw samples."""
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    if head[4:8] in _MP4_ATOMS:
        return "MP4"
    if head[::_TS_PACKET][:3] == bytes([_TS_SYNC] * 3):
        return "MPEG-TS"
    if len(head) >= ENOUGH and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "text"
    return _frames(head) if may_be_frames(head) else None


def may_be_frames(head: bytes) -> bool:
    """Whether `head` begins like a frame of MP3, AAC, AC-3 or DTS, which a sample may be, too."""
    return (head[:1] == b"\xff" and head[1:2] >= b"\xe0") or head[:2] in (b"\x0b\x77", b"\x7f\xfe")


def _frames(head: bytes) -> str | None:
    """The codec by which every frame in `head` can be decoded; None also without PyAV."""
    try:
        import av
    except ModuleNotFoundError:
        return None

    for codec, name in _FRAMES.items():
        context: Any = av.CodecContext.create(codec, "r")
        try:
            frames = sum(len(context.decode(packet)) for packet in context.parse(head))
        except av.FFmpegError:
            continue
        if frames >= _ENOUGH_FRAMES:
            return name
    return None
