"""AudioSet (Gemmeke et al., ICASSP 2017) from its CSV files and a folder of downloaded clips.

```sh
python -m a2v_tf.data.builders --name=audioset --manual_dir=/data/audioset
```
"""

import csv
import dataclasses
import hashlib
import io
import itertools
import math
import os
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from etils import epath

from a2v_tf.audio import decode
from a2v_tf.data.builders import base, shards
from a2v_tf.frontend import FRONT_END

_SPLIT_CSVS = {
    "balanced": "balanced_train_segments.csv",
    "unbalanced": "unbalanced_train_segments.csv",
    "eval": "eval_segments.csv",
}
_CLASS_CSV = "class_labels_indices.csv"
_CLASSES = 527
CLIPS_A_SHARD = 1_000  # 320 MB; an interruption costs each worker at most one shard

# In order of preference, if a clip exists in several formats.
_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".webm", ".aac", ".wma")

# Downloaders do not cut exactly. A file longer than the segment by more than this is cut again.
_SLACK_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Segment:
    """A line of a segment CSV: seconds `start` to `end` of the video `ytid`, labelled with MIDs."""

    ytid: str
    start: float
    end: float
    mids: tuple[str, ...]

    @property
    def key(self) -> str:
        """Unique name of the segment; a video may have several."""
        return f"{self.ytid}_{self.start:g}"


@dataclasses.dataclass(frozen=True)
class Clip:
    """A segment with the indices of its labels and the path of its file, None if missing."""

    ytid: str
    start: float
    end: float
    labels: list[int]
    path: str | None

    @property
    def key(self) -> str:
        """See `Segment.key`."""
        return f"{self.ytid}_{self.start:g}"


class Audioset(tfds.core.GeneratorBasedBuilder):
    """Ten-second clips of YouTube videos, labelled with their sound events.

    Clips that are missing or cannot be decoded are skipped; `not_used_SPLIT.csv` beside the data
    lists them with the reason.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    From https://research.google.com/audioset/download.html put class_labels_indices.csv and one or
    more of balanced_train_segments.csv, unbalanced_train_segments.csv and eval_segments.csv into
    manual_dir. Put the clips, downloaded by a tool of your choice, there too or into folders of any
    depth and name below it, as YTID.EXT, YTID_START.EXT or YTID_START_END.EXT with EXT wav, flac,
    ogg, opus, mp3, m4a, webm, aac or wma. START and END are seconds (30, 30.0, 30.000) or
    milliseconds (30000), and a Y may precede the YTID. YTID.EXT may be the clip or the whole video:
    if it is longer than the segment, the segment is cut out.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "audio": base.AUDIO,
                    # The class names are set when the class CSV has been read.
                    "labels": tfds.features.Sequence(
                        tfds.features.ClassLabel(num_classes=_CLASSES)
                    ),
                    "ytid": tfds.features.Text(),
                    "start": np.float32,  # seconds into the video
                }
            ),
            supervised_keys=("audio", "labels"),
            homepage="https://research.google.com/audioset/",
            metadata=tfds.core.MetadataDict(sample_rate=FRONT_END.sample_rate),
        )

    def _download_and_prepare(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig | None = None,
    ) -> None:
        """Write the unfinished shards and TFDS's metadata.

        TFDS's own method writes everything twice, in one process, and cannot be resumed.
        """
        config = download_config or tfds.download.DownloadConfig()
        folder = self.data_path.parent / f"unfinished.{self.version}"
        splits = {
            split: _in_shards(clips[: config.max_examples_per_split], config.num_shards)
            for split, clips in self._split_generators(dl_manager).items()
        }
        identity = {split: _identity(parts) for split, parts in splits.items()}
        todo = {
            split: [[dataclasses.asdict(clip) for clip in part] for part in parts]
            for split, parts in splits.items()
        }
        tasks = shards.plan(folder, self.name, todo, identity)
        shards.make_all(tasks, self._generate_examples, self.info.features, config)
        infos = []
        for split, parts in splits.items():
            info, unused = shards.collect(folder, self.name, split, len(parts))
            if not info.num_examples:
                raise ValueError(f"audioset: no clip of {split} can be used; {unused[0][1]}")
            rows = [(*key.rsplit("_", 1), reason) for key, reason in unused]
            base.write_unused(folder, split, ("ytid", "start_seconds", "reason"), rows)
            infos.append(info)
        self.info.set_splits(tfds.core.SplitDict(infos))
        # A failure must occur here, not later: TFDS deletes its own folder after an error.
        self.info.write_to_directory(folder)
        self.data_path.rmdir()
        folder.rename(self.data_path)
        (self.data_path / shards.WORK).rmtree()

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[Clip]]:
        """List the clips of each split, including missing ones."""
        folder = dl_manager.manual_dir
        mids, names = read_classes(folder / _CLASS_CSV)
        self.info.features["labels"].feature.names = names
        files = find_clips(folder)
        logging.info("audioset: %d audio files in %s", len(files), folder)
        splits = {}
        for split, name in _SPLIT_CSVS.items():
            if not (folder / name).exists():
                continue
            segments = read_segments(folder / name)
            if unknown := {mid for segment in segments for mid in segment.mids} - set(mids):
                raise ValueError(f"{name}: label {min(unknown)!r} is not in {_CLASS_CSV}")
            clips = [
                Clip(x.ytid, x.start, x.end, [mids[mid] for mid in x.mids], find_clip(files, x))
                for x in segments
            ]
            if any(clip.path for clip in clips):
                splits[split] = clips
            else:
                # TFDS cannot store an empty split.
                logging.warning("audioset: skipped split %s, none of its clips was found", split)
        if not splits:
            raise FileNotFoundError(
                f"no clip of any segment CSV found in {folder}\n{self.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        return splits

    @staticmethod
    def _generate_examples(clips: Sequence[dict]) -> Iterator[tuple[str, dict | str]]:
        """Yield the key of each clip, and its example or the reason why it is unused."""
        for clip, audio in base.decoded(_load, (Clip(**clip) for clip in clips)):
            if isinstance(audio, str):
                yield clip.key, audio
            else:
                example = {"audio": audio, "labels": clip.labels}
                yield clip.key, example | {"ytid": clip.ytid, "start": clip.start}


def _in_shards(clips: Sequence[Clip], count: int | None) -> list[Sequence[Clip]]:
    """Shuffle the clips deterministically and divide them into shards."""
    count = count or math.ceil(len(clips) / CLIPS_A_SHARD)
    clips = sorted(clips, key=lambda clip: base.hash_of(clip.key))
    ends = [len(clips) * i // count for i in range(count + 1)]
    return [clips[begin:end] for begin, end in itertools.pairwise(ends)]


def _identity(parts: Sequence[Sequence[Clip]]) -> list[str]:
    """A digest of each shard's clips and labels; the paths may change between runs."""
    facts = [[(clip.key, clip.end, clip.labels) for clip in part] for part in parts]
    return [hashlib.sha256(repr(part).encode()).hexdigest() for part in facts]


def _load(clip: Clip) -> np.ndarray | str:
    if clip.path is None:
        return base.NOT_FOUND
    name = os.path.basename(clip.path)
    try:
        return load_segment(clip.path, clip)
    except decode.DecodeError as error:
        logging.info("skipped %s: %s", clip.path, error)
        return f"{name} {error}"


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
        for ending in [*endings, ""]:  # names with the time first: they are unambiguous
            if path := clips.get(f"{prefix}{segment.ytid}{ending}"):
                return path
    return None


def load_segment(path: str, segment: Segment | Clip) -> np.ndarray:
    """Decode a clip to int16 `[samples]` at 16 kHz, cut to its segment if it is longer.

    Args:
      path: the file, on any file system of TensorFlow.
      segment: the segment of the clip.

    Raises:
      DecodeError: it cannot be decoded, or ends before the segment starts.
    """
    if "://" in path:
        with tempfile.TemporaryDirectory() as folder:
            local = os.path.join(folder, os.path.basename(path))
            tf.io.gfile.copy(path, local)
            return load_segment(local, segment)
    header = decode.probe(path)
    rate = FRONT_END.sample_rate
    duration = segment.end - segment.start
    if header.samples <= (duration + _SLACK_SECONDS) * rate:
        return decode.to_int16(decode.read(path, header))
    stem = os.path.splitext(os.path.basename(path))[0]
    whole_video = stem in (segment.ytid, f"Y{segment.ytid}")
    start = round(segment.start * rate) if whole_video else 0
    samples = min(round(duration * rate), header.samples - start)
    if samples <= 0:
        raise decode.DecodeError(
            f"{base.TOO_SHORT}lasts {header.samples / rate:.2f} s, but its segment starts at "
            f"{segment.start:g} s"
        )
    return decode.to_int16(decode.read(path, header, start, samples))
