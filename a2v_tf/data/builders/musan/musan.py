"""MUSAN, a music, speech and noise corpus (Snyder et al., arXiv 1510.08484, 2015)."""

import pathlib
from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds

from a2v_tf.audio import decode
from a2v_tf.data.builders import base
from a2v_tf.frontend import FRONT_END

KINDS = ("music", "noise", "speech")

PIECE_SECONDS = 10
_SHORTEST_REST = FRONT_END.samples(96)  # one slice, 975 ms


class Musan(base.LabelledBuilder):
    """Music, speech or noise, in pieces of ten seconds.

    Recordings are cut into pieces of ten seconds, since many last for minutes. A remainder shorter
    than a slice is dropped, unless it is the whole recording. (The papers must have cut them too:
    the confidence interval of Untrained in ICLR Table 2 implies more than 9,300 test clips, and
    there are 2,016 recordings. They do not say how; pieces of ten seconds give about 3,900.) There
    is no official split. A hash assigns 10 % of the recordings
    to test and 10 % to validation. All music of one artist, as named in the ANNOTATIONS files, is
    in one split.
    """

    name = "musan"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    musan.tar.gz, or its content: music, noise and speech, each with folders of WAV files and an
    ANNOTATIONS file.
    """
    URLS = ("https://www.openslr.org/resources/17/musan.tar.gz",)
    HOMEPAGE = "https://www.openslr.org/17"

    def labels(self) -> dict[str, tfds.features.ClassLabel]:
        """One of three kinds of sound."""
        return {"label": tfds.features.ClassLabel(names=KINDS)}

    def find(self, files: Sequence[pathlib.Path]) -> Iterator[tuple[str, base.ClipFile]]:
        """Cut recordings into pieces, and split by artist or recording."""
        artists: dict[str, str] = {}
        for path in files:
            if path.name == "ANNOTATIONS" and path.parent.parent.name == "music":
                artists |= read_artists(path)
        for path in files:
            kind = path.parent.parent.name
            if path.suffix == ".wav" and kind in KINDS:
                split = base.split_of(artists.get(path.stem, path.stem))
                yield from ((split, piece) for piece in _pieces(path, kind))


def read_artists(path: pathlib.Path) -> dict[str, str]:
    """Read the artist of each music file: the fourth column, after name, genres and vocals."""
    rows = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {row[0]: row[3] for row in rows if len(row) > 3}


def _pieces(path: pathlib.Path, kind: str) -> Iterator[base.ClipFile]:
    try:
        total = decode.probe(path).samples
    except decode.DecodeError:  # it is reported when the clip is read
        total = 0
    length = PIECE_SECONDS * FRONT_END.sample_rate
    for start in range(0, max(total, 1), length):
        samples = min(length, total - start)
        if start == 0 or samples >= _SHORTEST_REST:
            name = f"{path.stem}_{start // FRONT_END.sample_rate:04d}"
            yield base.ClipFile(name, path, {"label": kind}, start, samples)
