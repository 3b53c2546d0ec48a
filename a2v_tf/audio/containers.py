"""What kind of file some bytes begin like, to tell a file from raw samples."""

from __future__ import annotations

from collections.abc import Callable

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


# Frames without a container ----------------------------------------------------------------------

# Fields of the header of MPEG audio (ISO 11172-3, 13818-3): of the layers, 3 is I and 1 is III.
_MPEG_1, _LAYER_1, _LAYER_2, _LAYER_3 = 3, 3, 2, 1
_RATES = (44_100, 48_000, 32_000)  # of MPEG 1
_DIVISORS = {3: 1, 2: 2, 0: 4}  # of the rates of MPEG 1, 2 and 2.5
# In kbit/s, from index 1 on: [MPEG 1, layer].
_BIT_RATES = {
    (True, _LAYER_1): tuple(range(32, 449, 32)),
    (True, _LAYER_2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, _LAYER_3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, _LAYER_1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, _LAYER_2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_BIT_RATES[False, _LAYER_3] = _BIT_RATES[False, _LAYER_2]
# AC-3 (ETSI TS 102 366), in kbit/s.
_AC3_BIT_RATES = (*_BIT_RATES[True, _LAYER_3], 384, 448, 512, 576, 640)
_AC3_RATES = (48_000, 44_100, 32_000)
_LONGEST_HEADER = 8

# The name of a codec, and what stays the same in all frames' headers, and the bytes of this frame.
_Frame = tuple[str, int, int]


def _frames(head: bytes) -> str | None:
    """The codec whose frames follow one another in `head`, each where the one before ends."""
    for read in (_mpeg_frame, _adts_frame, _ac3_frame, _dts_frame):
        if found := _first_frames(head, read):
            return found
    return None


def _first_frames(head: bytes, read: Callable[[bytes], _Frame | None]) -> str | None:
    at, seen = 0, set()
    for _ in range(_ENOUGH_FRAMES):
        header = head[at : at + _LONGEST_HEADER]
        frame = read(header) if len(header) == _LONGEST_HEADER else None
        if frame is None:
            return None
        name, same, size = frame
        seen.add((name, same))
        at += size
    return name if len(seen) == 1 else None


def _mpeg_frame(header: bytes) -> _Frame | None:
    """MP3 and its older layers."""
    bits = int.from_bytes(header[:4], "big")
    version, layer, bit_rate, rate = bits >> 19 & 3, bits >> 17 & 3, bits >> 12 & 15, bits >> 10 & 3
    good = bits >> 21 == 0x7FF and version in _DIVISORS and layer and rate < len(_RATES)
    if not good or not 1 <= bit_rate <= 14:
        return None
    is_mpeg_1 = version == _MPEG_1
    bits_per_s = 1_000 * _BIT_RATES[is_mpeg_1, layer][bit_rate - 1]
    hertz, padding = _RATES[rate] // _DIVISORS[version], bits >> 9 & 1
    if layer == _LAYER_1:
        size = 4 * (12 * bits_per_s // hertz + padding)
    else:
        half = layer == _LAYER_3 and not is_mpeg_1  # the samples of a frame
        size = (72 if half else 144) * bits_per_s // hertz + padding
    return f"MP{4 - layer}", bits & 0xFFFE0C00, size


def _adts_frame(header: bytes) -> _Frame | None:
    """AAC with the headers of ISO 13818-7."""
    bits = int.from_bytes(header[:7], "big")
    rate, size = bits >> 34 & 15, bits >> 13 & 0x1FFF
    if bits >> 44 != 0xFFF or bits >> 41 & 3 or rate > 12 or size < len(header):
        return None
    return "AAC", bits >> 34, size


def _ac3_frame(header: bytes) -> _Frame | None:
    """AC-3 and, with a version above 10, E-AC-3."""
    if header[:2] != b"\x0b\x77":
        return None
    version = header[5] >> 3
    if 10 < version <= 16:
        return "E-AC-3", version, 2 * ((header[2] & 7) << 8 | header[3]) + 2
    rate, code = header[4] >> 6, header[4] & 63
    if version > 10 or rate >= len(_AC3_RATES) or code >= 2 * len(_AC3_BIT_RATES):
        return None
    words = 96_000 * _AC3_BIT_RATES[code // 2] // _AC3_RATES[rate]
    return "AC-3", rate, 2 * (words + (code & 1 if _AC3_RATES[rate] == 44_100 else 0))


def _dts_frame(header: bytes) -> _Frame | None:
    """The core of DTS (ETSI TS 102 114)."""
    if header[:4] != b"\x7f\xfe\x80\x01":
        return None
    return "DTS", 0, ((header[5] & 3) << 12 | header[6] << 4 | header[7] >> 4) + 1
