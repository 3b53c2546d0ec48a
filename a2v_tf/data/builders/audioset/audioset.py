"""AudioSet (Gemmeke et al., ICASSP 2017) from its CSV files and a folder of downloaded clips.

```sh
python -m a2v_tf.data.builders --name=audioset --manual_dir=/data/audioset
```
"""

import csv
import dataclasses
import io
import os
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from etils import epath

from a2v_tf.data import decode
from a2v_tf.data.builders import base
from a2v_tf.frontend import FRONT_END

_SPLIT_CSVS = {
    "balanced": "balanced_train_segments.csv",
    "unbalanced": "unbalanced_train_segments.csv",
    "eval": "eval_segments.csv",
}
_CLASS_CSV = "class_labels_indices.csv"
_CLASSES = 527

# In order of preference, should a clip be there in several formats.
_SUFFIXES = (".wav", ".flac", ".ogg", ".m4a")

# Downloaders cut a little more or less than the segment; beyond this the file is the whole video.
_SLACK_SECONDS = 0.5

_CITATION = """
@inproceedings{gemmeke2017audioset,
  title = {Audio Set: An ontology and human-labeled dataset for audio events},
  author = {Gemmeke, Jort F. and Ellis, Daniel P. W. and Freedman, Dylan and Jansen, Aren and
            Lawrence, Wade and Moore, R. Channing and Plakal, Manoj and Ritter, Marvin},
  booktitle = {Proc. IEEE ICASSP 2017},
  year = {2017}
}
"""


@dataclasses.dataclass(frozen=True)
class Segment:
    """A line of a segment CSV: seconds `start` to `end` of the video `ytid`, labelled with MIDs."""

    ytid: str
    start: float
    end: float
    mids: tuple[str, ...]

    @property
    def key(self) -> str:
        """Names the segment; unique, because a video may have several."""
        return f"{self.ytid}_{self.start:g}"


class Audioset(tfds.core.GeneratorBasedBuilder):
    """Ten-second clips of YouTube videos with the sound events heard in them.

    Clips that were not downloaded, or cannot be decoded, are left out; `not_used_SPLIT.csv` beside
    the data lists them with the reason.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012  as TFDS wants it
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    From https://research.google.com/audioset/download.html put class_labels_indices.csv and one or
    more of balanced_train_segments.csv, unbalanced_train_segments.csv and eval_segments.csv into
    manual_dir. Put the clips, downloaded by a tool of your choice, there too or into folders of any
    depth and name below it, as YTID.EXT, YTID_START.EXT or YTID_START_END.EXT with EXT wav, flac,
    ogg or m4a (which needs ffmpeg). START and END are seconds (30, 30.0, 30.000) or milliseconds
    (30000), and a Y may precede the YTID. YTID.EXT may be the clip or the whole video: if it is
    longer than the segment, the segment is cut out.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "audio": base.AUDIO,
                    # The names, in the class CSV's order, are known once it is read.
                    "labels": tfds.features.Sequence(
                        tfds.features.ClassLabel(num_classes=_CLASSES)
                    ),
                    "ytid": tfds.features.Text(),
                    "start": np.float32,  # seconds into the video
                }
            ),
            supervised_keys=("audio", "labels"),
            homepage="https://research.google.com/audioset/",
            citation=_CITATION,
            metadata=tfds.core.MetadataDict(sample_rate=FRONT_END.sample_rate),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        folder = dl_manager.manual_dir
        mids, names = read_classes(folder / _CLASS_CSV)
        self.info.features["labels"].feature.names = names
        clips = find_clips(folder)
        logging.info("audioset: %d audio files in %s", len(clips), folder)
        splits = {}
        for split, name in _SPLIT_CSVS.items():
            if not (folder / name).exists():
                continue
            segments = read_segments(folder / name)
            if unknown := {mid for segment in segments for mid in segment.mids} - set(mids):
                raise ValueError(f"{name}: label {min(unknown)!r} is not in {_CLASS_CSV}")
            if any(find_clip(clips, segment) for segment in segments):
                splits[split] = self._generate_examples(split, segments, clips, mids)
            else:
                # TFDS cannot store an empty split.
                logging.warning("audioset: left out split %s, none of its clips is there", split)
        if not splits:
            raise FileNotFoundError(
                f"no clip of any segment CSV found in {folder}\n{self.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        return splits

    def _generate_examples(
        self,
        split: str,
        segments: Iterable[Segment],
        clips: dict[str, str],
        mids: dict[str, int],
    ) -> Iterator[tuple[str, dict]]:
        """Yield (key, example) of every clip that is there; list and count the others."""

        def load(segment: Segment) -> np.ndarray | str:
            path = find_clip(clips, segment)
            if path is None:
                return "not found"
            try:
                return load_segment(path, segment)
            except decode.DecodeError as error:
                logging.warning("skipped %s: %s", path, error)
                return f"{os.path.basename(path)} {error}"

        unused = []
        for segment, audio in base.decoded(load, segments):
            if isinstance(audio, str):
                unused.append((segment.ytid, f"{segment.start:g}", audio))
                continue
            labels = [mids[mid] for mid in segment.mids]
            example = {"audio": audio, "labels": labels}
            yield segment.key, example | {"ytid": segment.ytid, "start": segment.start}
        base.write_unused(self, split, ("ytid", "start_seconds", "reason"), unused)


def read_classes(path: epath.Path) -> tuple[dict[str, int], list[str]]:
    """Read `class_labels_indices.csv`: MID -> index, and the display names in index order."""
    rows = sorted(csv.DictReader(io.StringIO(path.read_text())), key=lambda row: int(row["index"]))
    if [int(row["index"]) for row in rows] != list(range(_CLASSES)):
        raise ValueError(f"{path}: has {len(rows)} classes, expected the indices 0-{_CLASSES - 1}")
    return {row["mid"]: int(row["index"]) for row in rows}, [row["display_name"] for row in rows]


def read_segments(path: epath.Path) -> list[Segment]:
    """Read a segment CSV: comment lines, then `YTID, start, end, "mid,mid"`."""
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    segments = {}
    for row in csv.reader(lines, skipinitialspace=True):
        try:
            ytid, start, end, mids = row
            segment = Segment(ytid, float(start), float(end), tuple(mids.split(",")))
        except ValueError as error:
            raise ValueError(f"{path}: cannot read the line {','.join(row)!r}") from error
        segments[segment.key] = segment
    return list(segments.values())


def find_clips(folder: epath.Path) -> dict[str, str]:
    """Find the audio files in `folder` and below: path by name without extension."""
    clips: dict[str, tuple[int, str]] = {}
    for parent, _, names in tf.io.gfile.walk(os.fspath(folder)):
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in _SUFFIXES:
                choice = (_SUFFIXES.index(suffix.lower()), os.path.join(parent, name))
                clips[stem] = min(choice, clips.get(stem, choice))
    return {stem: path for stem, (_, path) in clips.items()}


def find_clip(clips: dict[str, str], segment: Segment) -> str | None:
    """Find the file of a segment under any of the names that downloaders give it."""
    times = [
        (f"{segment.start:g}", f"{segment.end:g}"),
        (f"{segment.start:.1f}", f"{segment.end:.1f}"),
        (f"{segment.start:.3f}", f"{segment.end:.3f}"),
        (f"{segment.start * 1000:.0f}", f"{segment.end * 1000:.0f}"),
    ]
    endings = [f"_{start}" for start, _ in times] + [f"_{start}_{end}" for start, end in times]
    for prefix in ("", "Y"):
        for ending in [*endings, ""]:  # the name with the time is the surer one
            if path := clips.get(f"{prefix}{segment.ytid}{ending}"):
                return path
    return None


def load_segment(path: str, segment: Segment) -> np.ndarray:
    """Decode a clip to int16 `[samples]` at 16 kHz, cut to its segment if it is longer.

    Raises:
      DecodeError: if it cannot be decoded or is too short to have the segment.
    """
    header = decode.probe(path)
    rate = FRONT_END.sample_rate
    duration = segment.end - segment.start
    if header.samples <= (duration + _SLACK_SECONDS) * rate:
        return base.to_int16(decode.read(path, header))
    stem = os.path.splitext(os.path.basename(path))[0]
    whole_video = stem in (segment.ytid, f"Y{segment.ytid}")
    start = round(segment.start * rate) if whole_video else 0
    samples = min(round(duration * rate), header.samples - start)
    if samples <= 0:
        raise decode.DecodeError(
            f"lasts {header.samples / rate:.2f} s, but its segment starts at {segment.start:g} s"
        )
    return base.to_int16(decode.read(path, header, start, samples))
