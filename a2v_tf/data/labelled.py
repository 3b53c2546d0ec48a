"""Labelled data for downstream tasks and supervised training: CSV, TFDS or a plug-in.

```python
for data in open_labelled("speech_commands,csv:birds.csv"):
    for clip, pcm in data.clips():  # every clip of every split
        ...
    data.crops(15_600, seed=1, round_index=0).batch(256)  # random crops of train clips, with labels
```
"""

import pathlib
from collections.abc import Collection, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.data import sampling
from a2v_tf.data.labelled_clips import SPLITS, Clip
from a2v_tf.data.labelled_csv import CsvData
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, FrontEnd
from a2v_tf.plugins import is_reference, load_object
from a2v_tf.specs import MAX_BAD_FRACTION

__all__ = ["SPLITS", "Clip", "LabelledData", "open_labelled"]


@runtime_checkable
class LabelledData(Protocol):
    """Labelled clips in splits.

    Attributes:
      name: name of the data set, valid in file and layer names.
      classes: class names; labels are indices into it.
      multi_label: whether a clip may have any number of labels.
      bad: the clips that `crops` skipped so far; see `sources.one_line_errors`.

    Data for another front end than the papers' say so by an attribute `front_end`; see
    `front_end_for`. Their PCM has its sample rate instead of 16 kHz.
    """

    name: str
    classes: tuple[str, ...]
    multi_label: bool
    bad: BadFiles

    def clips(
        self, max_bad_fraction: float = MAX_BAD_FRACTION
    ) -> Iterator[tuple[Clip, np.ndarray]]:
        """Read every clip of every split, always in the same order.

        Clips that cannot be read are logged and skipped.

        Args:
          max_bad_fraction: largest acceptable fraction of skipped clips.

        Yields:
          A clip and its PCM at 16 kHz, float32 `[samples]`.

        Raises:
          A2vError: more than `max_bad_fraction` of the clips cannot be read.
        """

    def fingerprint(self) -> str:
        """A hex digest that changes with the clips and their labels."""

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
        """Draw random crops of train clips (ICLR section 4, "Datasets").

        An epoch draws one crop of each clip, whatever its length, at a uniformly random position.
        The stream is a pure function of the data and the arguments.

        Args:
          samples: samples in a crop; shorter clips are padded with zeros at the end.
          seed: seed of all random numbers.
          round_index: different rounds draw different crops; int64 scalar, may be symbolic.
          per_class: number of clips of each class to use, chosen by `seed`; None for all. A clip
            with several labels is used if it was chosen for one of them.
          total: number of clips of all classes together, likewise. Passed only where it is given.
          share: the share of the crops to give, if several workers share them.

        Returns:
          Infinite dataset of (PCM at 16 kHz, float32 `[samples]`; label). The label is an int32
          scalar, or float32 `[classes]` of zeros and ones if `multi_label`.
        """


def front_end_for(data: LabelledData) -> FrontEnd:
    """The front end that labelled data is opened for."""
    return getattr(data, "front_end", FRONT_END)


def open_labelled(
    spec: str,
    *,
    needs: Collection[str] = ("train", "test"),
    channels: str = "mix",
    front_end: FrontEnd = FRONT_END,
) -> list[LabelledData]:
    """Open labelled data.

    Args:
      spec: data sets, separated by commas: `demo`; `csv:PATH`; a name in `builders.LABELLED`;
        `tfds:NAME[/CONFIG][:VERSION]`, any prepared TFDS data set with the features `audio` and
        `label` (a class) or `labels` (a sequence of classes); or `package.module:NAME`, a
        `LabelledData` of another package, or a function without arguments that returns one.
      needs: splits that must not be empty; of `package.module:NAME` not checked.
      channels: what to use of the channels of the files of a CSV; see `decode.probe`.
      front_end: what is to make frames of the clips, which are read at its sample rate.

    Raises:
      A2vError: a data set cannot be used, or two have the same name.
    """
    parts = [part.strip() for part in spec.split(",")]
    found = [data for part in parts for data in _open(part, needs, channels, front_end)]
    names = [data.name for data in found]
    for name in names:
        if names.count(name) > 1:
            raise A2vError(f"two labelled data sets are named {name!r}: rename or remove one")
    return found


def _open(
    spec: str, needs: Collection[str], channels: str, front_end: FrontEnd
) -> list[LabelledData]:
    if spec == "demo":
        from a2v_tf.data import demo  # writes the corpus on first use

        return [CsvData(path, needs, channels, front_end) for path in demo.task_csvs(demo.ensure())]
    if spec.startswith("csv:"):
        path = pathlib.Path(spec.removeprefix("csv:")).expanduser()
        return [CsvData(path, needs, channels, front_end)]

    if is_reference(spec) and not spec.startswith("tfds:"):
        return [_plugin(spec, front_end)]

    from a2v_tf.data.builders import LABELLED
    from a2v_tf.data.labelled_tfds import TfdsData

    if spec.startswith("tfds:"):
        name = spec.removeprefix("tfds:")
        plain = name.replace("/", "_").replace(":", "_")
        return [TfdsData(spec, name, plain, needs, front_end=front_end)]
    own = {name: entry for name, entry in LABELLED.items() if spec in (name, entry.package)}
    if not own:
        known = ", ".join(("demo", "csv:PATH", "tfds:NAME", "MODULE:NAME", *LABELLED))
        raise A2vError(f"labelled data {spec!r}: expected one of {known}")
    return [
        TfdsData(spec, entry.builder.name, name, needs, entry.label, front_end)
        for name, entry in own.items()
    ]


def _plugin(spec: str, front_end: FrontEnd) -> LabelledData:
    found = load_object(spec, flag="data")
    data = found() if callable(found) else found
    if not isinstance(data, LabelledData):
        raise A2vError(f"data={spec}: a {type(data).__name__}; expected a LabelledData")
    if front_end_for(data) != front_end:
        raise A2vError(
            f"data={spec}: is made for {front_end_for(data)}; expected the model's front end, "
            f"{front_end}"
        )
    return data
