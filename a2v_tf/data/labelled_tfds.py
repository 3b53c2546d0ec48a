"""Labelled data from prepared TFDS data sets."""

import functools
from collections.abc import Collection, Iterator

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from a2v_tf.audio import decode
from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.data import labelled_clips, sampling, tfds_source
from a2v_tf.data.labelled_clips import Clip
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, FrontEnd
from a2v_tf.specs import MAX_BAD_FRACTION

# Names of the splits in TFDS data sets; AudioSet has two for training.
_SPLIT_NAMES = {
    "train": ("train", "unbalanced", "balanced"),
    "val": ("validation", "valid", "val", "dev"),
    "test": ("test", "eval"),
}

_SHUFFLE_CROPS = 256
_FRAMING = 12, 4  # bytes before and after a record of a TFRecord file


class TfdsData:
    """The labelled clips of a prepared TFDS data set; see `LabelledData`."""

    def __init__(
        self,
        spec: str,
        builder_name: str,
        name: str,
        needs: Collection[str] = ("train", "test"),
        label: str | None = None,
        front_end: FrontEnd = FRONT_END,
    ):
        """Open a data set.

        Args:
          spec: the user's specification, for messages.
          builder_name: name in TFDS, "NAME[/CONFIG][:VERSION]".
          name: name of the data set in results.
          needs: splits that must exist.
          label: name of the label feature; None for `label` or `labels`.
          front_end: what is to make frames of the clips, which are read at its sample rate.

        Raises:
          A2vError: the data set does not exist, is not prepared, lacks a split in `needs`, or has
            no usable audio or labels.
        """
        self.name, self.front_end = name, front_end
        self.bad = BadFiles(MAX_BAD_FRACTION)
        self._spec = spec
        self._builder = tfds_source.prepared_builder(spec, builder_name)
        info = self._builder.info
        self._audio, self._rate = tfds_source.audio_feature(spec, info, front_end)
        self._label_name, self._label, classes = _label_feature(spec, info, label)
        self.multi_label = self._label is not classes
        self.classes = tuple(classes.names)
        if len(self.classes) < 2:
            raise A2vError(f"data={spec}: has one class, {self.classes}; expected at least two")
        self._splits = _splits(info)
        for split in needs:
            if split not in self._splits:
                known = ", ".join(info.splits)
                raise A2vError(f"data={spec}: no {split} split; there are {known}")
        self._train = (
            tfds_source.split_shards(spec, info, self._splits["train"])
            if "train" in self._splits
            else []
        )
        self._train_clips = sum(shard.take for shard in self._train)

    def clips(
        self, max_bad_fraction: float = MAX_BAD_FRACTION
    ) -> Iterator[tuple[Clip, np.ndarray]]:
        """Read every clip in stored order; see `LabelledData.clips`."""
        bad = BadFiles(max_bad_fraction)
        splits = self._builder.info.splits
        total = sum(splits[name].num_examples for name in self._splits.values())
        for split, name in self._splits.items():
            for id, example in self._examples(name):
                try:
                    label = self._label_text(example[self._label_name])
                    pcm = self._cut(example["audio"], 0, self._samples(example["audio"]))
                    labelled_clips.check_pcm(pcm)
                except decode.DecodeError as error:
                    bad.add(id, str(error))
                    bad.check(total, f"clips of {self.name}")
                    continue
                yield Clip(id, label, split), pcm

    def fingerprint(self) -> str:
        """Digest of the data set's name, version, size and time of preparation."""
        info = self._builder.info
        splits = [
            (name, split.num_examples, split.num_bytes, split.shard_lengths)
            for name, split in sorted(info.splits.items())
        ]
        written = (self._builder.data_path / "dataset_info.json").stat().mtime
        return labelled_clips.digest(
            [(info.full_name, self._label_name, self.classes, written), *splits]
        )

    def crops(
        self,
        samples: int,
        *,
        seed: int,
        round_index: int | tf.Tensor,
        per_class: int | None = None,
        total: int | None = None,
        share: sampling.Share = sampling.EVERYTHING,
    ) -> tf.data.Dataset:
        """Infinite dataset of (float32 `[samples]`, label); see `LabelledData.crops`."""
        chosen = self._choose(per_class, total, seed) if per_class or total else None

        def epoch(index: tf.Tensor) -> tf.data.Dataset:
            keys = sampling.split(sampling.key(seed, round_index, index), 3)
            order_key, place_key, shuffle_key = tf.unstack(keys)
            records = (
                tfds_source.shuffled_records(self._train, order_key)
                if chosen is None
                else self._records(chosen, order_key)
            )

            def draw(ordinal: tf.Tensor, record: tuple) -> tuple:
                shard, row, example = record
                place = labelled_clips.draw_place(place_key, ordinal)
                return self._draw(shard, row, example, samples, place)

            crops = records.enumerate().map(
                draw, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
            )
            return sampling.mark_end(sampling.shuffle_blocks(crops, _SHUFFLE_CROPS, shuffle_key))

        crops = share.of(sampling.forever(epoch), lambda drawn: drawn[2])
        return sampling.usable_only(
            crops, functools.partial(labelled_clips.fail_if_none, self.name, self.bad)
        )

    def _draw(
        self,
        shard: tf.Tensor,
        record: tf.Tensor,
        example: tf.Tensor,
        samples: int,
        place: tf.Tensor,
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Draw a crop of a serialized example: ((float32 `[samples]`, label), usable)."""
        parsed = self._parse(example, "audio", self._label_name)
        label = parsed[self._label_name]
        pcm, usable = tf.numpy_function(
            functools.partial(self._crop, samples=samples),
            [shard, record, parsed["audio"], label, place],
            [tf.float32, tf.bool],
        )
        if self.multi_label:
            label = tf.reduce_sum(tf.one_hot(label, len(self.classes)), axis=0)
            label = tf.minimum(label, 1.0)  # a label may occur twice
        else:
            label = tf.cast(label, tf.int32)
        return (tf.ensure_shape(pcm, [samples]), label), tf.ensure_shape(usable, [])

    def _crop(
        self,
        shard: int,
        record: int,
        audio: np.ndarray,
        label: np.ndarray,
        place: float,
        samples: int,
    ) -> tuple[np.ndarray, np.generic]:
        """Cut a crop from a clip: (PCM, usable). A failure is reported and gives zeros."""
        try:
            self._label_text(label)
            start, length = labelled_clips.locate(self._samples(audio), samples, place)
            return labelled_clips.pad(self._cut(audio, start, length), samples), np.True_
        except decode.DecodeError as error:
            self.bad.add(tfds_source.tfds_id(self._train[shard], record), str(error))
            self.bad.check(self._train_clips, f"train clips of {self.name}")
        return np.zeros(samples, np.float32), np.False_

    def _samples(self, audio: np.ndarray) -> int:
        """Length of a clip at the front end's sample rate."""
        return len(audio) * self.front_end.sample_rate // self._rate

    def _cut(self, audio: np.ndarray, start: int, samples: int) -> np.ndarray:
        """Cut `samples` samples from `start` on from a stored clip, resampled, float32."""
        rate = self.front_end.sample_rate
        span = decode.native_span(self._rate, len(audio), start, samples, rate)
        return span.cut(tfds_source.to_mono(audio[span.begin : span.end]))

    def _label_text(self, label: np.ndarray) -> str:
        """The class name of a label, or the joined class names.

        Raises:
          DecodeError: a label is missing, which TFDS encodes as -1, or out of range.
        """
        labels = np.atleast_1d(label)
        if (labels < 0).any() or (labels >= len(self.classes)).any():
            raise decode.DecodeError(
                f"has the label {labels.tolist()}; expected 0 to {len(self.classes) - 1}"
            )
        return labelled_clips.LABEL_SEPARATOR.join(self.classes[i] for i in labels)

    def _parse(self, example: tf.Tensor, *names: str) -> dict[str, tf.Tensor]:
        """Parse only some features of a serialized example."""
        features = {"audio": self._audio, self._label_name: self._label}
        chosen = tfds.features.FeaturesDict({name: features[name] for name in names})
        return chosen.deserialize_example(example)

    def _examples(self, split: str) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """Yield the id and example of each clip of a split, in stored order."""
        features = {"audio", self._label_name, "id"} & self._builder.info.features.keys()
        dataset = self._builder.as_dataset(
            split=split,
            decoders=tfds.decode.PartialDecoding(dict.fromkeys(features, True)),
            read_config=tfds.ReadConfig(add_tfds_id=True, interleave_cycle_length=1),
        )
        with tfds_source.one_line_errors(self._spec):
            for example in tfds.as_numpy(dataset):
                id = example.get("id", example["tfds_id"])
                yield id.decode() if isinstance(id, bytes) else str(id), example

    # --- Some clips of each class: random access --------------------------------------------------

    def _choose(self, per_class: int | None, total: int | None, seed: int) -> np.ndarray:
        """Indices into `_index` of the chosen clips, int64 `[n]`."""
        with tf.init_scope():  # eagerly, even while a function is traced
            labels, classes = self._index[1], len(self.classes)
            return labelled_clips.choose(labels, classes, per_class, seed, total)

    @functools.cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the labels of all train clips once.

        Returns:
          The location of each clip, int64 `[clips, 4]` (shard, record, first byte, bytes), and the
          labels, int `[clips]` or bool `[clips, classes]`.
        """
        places, labels = [], []
        for number, shard in enumerate(self._train):
            records = tf.data.TFRecordDataset(str(shard.filename)).take(shard.skip + shard.take)
            sizes_and_labels = records.map(
                lambda example: (
                    tf.strings.length(example),
                    self._parse(example, self._label_name)[self._label_name],
                ),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
            first = _FRAMING[0]
            with tfds_source.one_line_errors(self._spec):
                for record, (size, label) in enumerate(sizes_and_labels.as_numpy_iterator()):
                    if record >= shard.skip:
                        places.append((number, record, first, size))
                        labels.append(label)
                    first += int(size) + sum(_FRAMING)
        if self.multi_label:
            hot = np.zeros((len(labels), len(self.classes)), bool)
            for row, label in zip(hot, labels, strict=True):
                row[label[label >= 0]] = True
            return np.array(places, np.int64), hot
        return np.array(places, np.int64), np.array(labels)

    def _records(self, chosen: np.ndarray, order_key: tf.Tensor) -> tf.data.Dataset:
        """One epoch of the chosen clips, in the format of `tfds_source.shuffled_records`."""
        places = tf.constant(self._index[0][chosen])
        files = [str(shard.filename) for shard in self._train]

        def read(shard: int, first: int, size: int) -> bytes:
            with tf.io.gfile.GFile(files[shard], "rb") as file:
                file.seek(int(first))
                return file.read(int(size))

        def record(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            shard, number, first, size = tf.unstack(places[index], num=4)
            example = sampling.call(read, [shard, first, size], tf.string, [])
            return shard, number, example

        return sampling.shuffled(len(chosen), order_key).map(
            record, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )


def _label_feature(
    spec: str, info: tfds.core.DatasetInfo, name: str | None
) -> tuple[str, tfds.features.FeatureConnector, tfds.features.ClassLabel]:
    """Find the label feature: its name, the feature, and the `ClassLabel` in it.

    Raises:
      A2vError: there is none.
    """
    features = dict(info.features.items())
    for candidate in (name,) if name else ("label", "labels"):
        feature = features.get(candidate)
        classes = getattr(feature, "feature", feature)
        if isinstance(classes, tfds.features.ClassLabel) and classes.num_classes:
            return candidate, feature, classes
    raise A2vError(
        f"data={spec}: has no feature label (a class) or labels (a sequence of classes); it has "
        f"{', '.join(sorted(features))}"
    )


def _splits(info: tfds.core.DatasetInfo) -> dict[str, str]:
    """The TFDS split for each split that exists, such as "unbalanced+balanced"."""
    found = {
        split: "+".join(name for name in names if name in info.splits)
        for split, names in _SPLIT_NAMES.items()
    }
    return {split: names for split, names in found.items() if names}
