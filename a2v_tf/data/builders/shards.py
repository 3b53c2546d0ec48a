"""A data set made shard by shard: each whole or not at all, by itself, anywhere, and never twice.

A folder holds the shards that are finished and, in `work/`, a file for each one that is to be made,
`SPLIT-INDEX.todo.json`, with all that this takes; `SPLIT-INDEX.done.json` says what came of it. So
whoever sees the folder can make a shard, and after a kill only those that it cut short are made
again.
"""

import collections
import contextlib
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath
from tqdm import tqdm

from a2v_tf.data.builders import base
from a2v_tf.errors import A2vError

WORK = "work"

# From what is written in the .todo.json, key and example of each clip, or key and reason why not.
Generate = Callable[[Sequence[Any]], Iterable[tuple[str, dict | str]]]


def plan(
    folder: epath.Path, name: str, splits: Mapping[str, Sequence[Sequence[Any]]], identity: Any
) -> list[str]:
    """Write down what is to be made, but for what is there already.

    Args:
      folder: where; if it was begun before, this goes on there.
      name: of the data set.
      splits: for each split and shard the clips, anything that serialises to JSON.
      identity: what the shards that are there must have been planned with, JSON too.

    Returns:
      The `.todo.json` of each shard to make.

    Raises:
      ValueError: the folder was begun with another plan.
    """
    work = folder / WORK
    work.mkdir(parents=True, exist_ok=True)
    planned = work / "plan.json"
    if planned.exists() and json.loads(planned.read_text()) != identity:
        raise ValueError(
            f"{folder} was begun with other clips or another number of shards: finish it with "
            "those, or delete it"
        )
    _write(planned, identity)
    tasks = []
    for split, shards in splits.items():
        template = _template(folder, name, split)
        for index, clips in enumerate(shards):
            shard = template.sharded_filepath(shard_index=index, num_shards=len(shards))
            task = work / f"{split}-{index:05d}.todo.json"
            if not _done(task).exists():
                _write(task, {"shard": os.fspath(shard), "clips": clips})
                tasks.append(os.fspath(task))
    return tasks


def make_all(
    tasks: Sequence[str],
    generate: Generate,
    features: tfds.features.FeaturesDict,
    config: tfds.download.DownloadConfig,
) -> Any:
    """Make shards: here, one after the other; or by Apache Beam, if `config` has its options.

    Args:
      tasks: of `plan`.
      generate: gives the examples; for Beam, a function that workers can import.
      features: of the data set.
      config: `beam_options` and `beam_runner` count.

    Returns:
      Beam's result, with the counters "used" and those of `base.KINDS`; None without Beam.

    Raises:
      A2vError: Beam is not installed, or fails.
    """
    if config.beam_options is None and config.beam_runner is None:
        for task in tqdm(tasks, unit=" shards", disable=None):
            make(task, generate, features)
        return None
    beam = import_beam()
    try:
        with beam.Pipeline(config.beam_runner, config.beam_options) as pipeline:
            _ = (
                pipeline
                | "Shards" >> beam.Create(tasks)
                | "Make" >> beam.Map(_make_and_count, generate, features)
            )
    except Exception as error:  # of many kinds, as Beam has many runners
        last_line = str(error).strip().splitlines()[-1]
        raise A2vError(f"Apache Beam: {last_line}; finished shards stay, run it again") from error
    return pipeline.result


def import_beam() -> Any:
    """The module `apache_beam`.

    Raises:
      A2vError: it is not installed.
    """
    try:
        import apache_beam
    except ImportError as error:
        raise A2vError(
            "Apache Beam is not installed: it comes with the extra [beam], pip install a2v_tf[beam]"
        ) from error
    return apache_beam


def make(
    task: str, generate: Generate, features: tfds.features.FeaturesDict
) -> collections.Counter[str]:
    """Make a shard, unless it is there.

    Returns:
      How many clips are in it ("used"), and how many are not, by kind; nothing if it was there.
    """
    path = epath.Path(task)
    if _done(path).exists():
        return collections.Counter()
    todo = json.loads(path.read_text())
    lengths, unused = [], []
    with _whole(path, todo["shard"]) as partial, tf.io.TFRecordWriter(partial) as writer:
        for key, example in generate(todo["clips"]):
            if isinstance(example, str):
                unused.append((key, example))
                continue
            record = features.serialize_example(example)
            writer.write(record)
            lengths.append(len(record))
    _write(_done(path), {"examples": len(lengths), "bytes": sum(lengths), "unused": unused})
    kinds = collections.Counter(base.kind_of(reason) for _, reason in unused)
    return collections.Counter(used=len(lengths)) + kinds


def _make_and_count(task: str, generate: Generate, features: tfds.features.FeaturesDict) -> None:
    from apache_beam.metrics import Metrics

    for kind, count in make(task, generate, features).items():
        Metrics.counter("clips", kind).inc(count)


def collect(
    folder: epath.Path, name: str, split: str, shards: int
) -> tuple[tfds.core.SplitInfo, list[tuple[str, str]]]:
    """What came of a split whose shards are all made: TFDS's facts; key and reason of the rest."""
    done = [
        json.loads(_done(folder / WORK / f"{split}-{index:05d}.todo.json").read_text())
        for index in range(shards)
    ]
    info = tfds.core.SplitInfo(
        name=split,
        shard_lengths=[shard["examples"] for shard in done],
        num_bytes=sum(shard["bytes"] for shard in done),
        filename_template=_template(folder, name, split),
    )
    return info, [(key, reason) for shard in done for key, reason in shard["unused"]]


def _template(folder: epath.Path, name: str, split: str) -> tfds.core.ShardedFileTemplate:
    return tfds.core.ShardedFileTemplate(
        data_dir=folder, dataset_name=name, split=split, filetype_suffix="tfrecord"
    )


def _done(task: epath.Path) -> epath.Path:
    return task.with_name(task.name.replace(".todo.", ".done."))


def _write(path: epath.Path, content: Any) -> None:
    with _whole(path, path) as partial:
        epath.Path(partial).write_text(json.dumps(content))


@contextlib.contextmanager
def _whole(beside: epath.Path, path: os.PathLike | str) -> Iterator[str]:
    """As `files.whole_file`, on any file system of TensorFlow; `beside` is in `work/`."""
    partial = f"{os.fspath(beside)}.{uuid.uuid4().hex}"
    try:
        yield partial
        tf.io.gfile.rename(partial, os.fspath(path), overwrite=True)
    finally:
        if tf.io.gfile.exists(partial):
            tf.io.gfile.remove(partial)
