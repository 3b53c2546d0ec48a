"""What the first frame of an MP3 file says about its rate and length."""

from __future__ import annotations

import pathlib

_ID3_HEADER = 10
_SYNC = 0xFFE0
_MPEG_1, _LAYER_3, _MONO = 3, 1, 3  # values of fields of a frame's header
_RATES = (44_100, 48_000, 32_000)  # of MPEG 1
_DIVISORS = {3: 1, 2: 2, 0: 4}  # of the rates of MPEG 1, 2 and 2.5
# Bytes between a frame's header and the Xing header: [MPEG 1 or 2, mono or stereo].
_SIDE_INFO = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}
# Fields of the Xing header: their flags and bytes.
_FRAMES, _BYTES, _TABLE, _QUALITY = (1, 4), (2, 4), (4, 100), (8, 4)
_ENCODERS = (b"LAME", b"Lavf", b"Lavc")  # that say how many samples they added
_ENCODER_BYTES = 21  # from the name to that
_DECODER_DELAY = 529
# Tags at the end and the first frame itself are counted by some encoders, and not by others.
_TOLERANCE = 4_096
_SMALLEST_FRAME, _LARGEST_FRAME = 24, 2_881  # bytes


def rate_and_length(path: pathlib.Path) -> tuple[int, int] | None:
    """The rate and samples of an MP3 file with a Xing header that fits its size; else None.

    Without one, the length is a guess. One that does not fit is that of a part: of the first of
    joined files, or of a file that was cut.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = _skip_id3(file.read(_ID3_HEADER))
        file.seek(begin)
        frame = file.read(256)
    header = int.from_bytes(frame[:4], "big")
    if header >> 16 & _SYNC != _SYNC or header >> 17 & 3 != _LAYER_3:
        return None
    version, rate = header >> 19 & 3, header >> 10 & 3
    if version not in _DIVISORS or rate >= len(_RATES):
        return None
    is_mpeg_1 = version == _MPEG_1
    tag = frame[4 + _SIDE_INFO[is_mpeg_1, header >> 6 & 3 == _MONO] :]
    if tag[:4] not in (b"Xing", b"Info"):
        return None
    flags, place, fields = int.from_bytes(tag[4:8], "big"), 8, {}
    for flag, width in (_FRAMES, _BYTES, _TABLE, _QUALITY):
        if flags & flag:
            fields[flag] = int.from_bytes(tag[place : place + width], "big")
            place += width
    frames, content = fields.get(_FRAMES[0], 0), fields.get(_BYTES[0], 0)
    fits = abs(size - begin - content) <= _TOLERANCE
    if not fits or not frames * _SMALLEST_FRAME <= content <= (frames + 1) * _LARGEST_FRAME:
        return None
    hertz, samples = _RATES[rate] // _DIVISORS[version], frames * (1152 if is_mpeg_1 else 576)
    encoder = tag[place : place + _ENCODER_BYTES + 3]
    if not encoder.startswith(_ENCODERS):
        return hertz, samples
    added = int.from_bytes(encoder[_ENCODER_BYTES:], "big")
    before, after = added >> 12, added & 0xFFF
    samples -= before + max(after, _DECODER_DELAY)
    return (hertz, samples) if samples > 0 else None


def _skip_id3(header: bytes) -> int:
    """The place after an ID3v2 tag, whose size has 7 bits in each byte."""
    if header[:3] != b"ID3" or len(header) < _ID3_HEADER:
        return 0
    size = 0
    for byte in header[6:10]:
        size = size << 7 | byte & 0x7F
    return _ID3_HEADER + size
