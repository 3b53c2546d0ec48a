"""Resumable preparation of a data set, shard by shard, in one process or with Apache Beam.

The folder contains the finished shards and, in `work/`, a file for each shard to write,
`SPLIT-INDEX.todo.json`, with everything needed to write it. `SPLIT-INDEX.done.json` records the
result. Any worker that sees the folder can write any shard. After an interruption, only unfinished
shards are written again.
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

from a2v_tf import beam
from a2v_tf.data.builders import base

WORK = "work"

# From the clips in a .todo.json to (key, example) of each clip, or (key, reason) of an unused one.
Generate = Callable[[Sequence[Any]], Iterable[tuple[str, dict | str]]]


def plan(
    folder: epath.Path, name: str, splits: Mapping[str, Sequence[Sequence[Any]]], identity: Any
) -> list[str]:
    """Write a `.todo.json` for each shard that is not finished.

    Args:
      folder: output folder; a folder with finished shards is resumed.
      name: name of the data set.
      splits: the clips of each shard of each split, serialisable to JSON.
      identity: identifies the plan, serialisable to JSON; a resumed folder must have the same.

    Returns:
      Path of the `.todo.json` of each unfinished shard.

    Raises:
      ValueError: the folder was started with another plan.
    """
    work = folder / WORK
    work.mkdir(parents=True, exist_ok=True)
    planned = work / "plan.json"
    if planned.exists() and json.loads(planned.read_text()) != identity:
        raise ValueError(
            f"{folder} was started with other clips or another number of shards: finish it with "
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
    """Write shards: sequentially in this process, or with Apache Beam if `config` has its options.

    Args:
      tasks: result of `plan`.
      generate: yields the examples; for Beam, a function that workers can import.
      features: features of the data set.
      config: `beam_options` and `beam_runner` are used.

    Returns:
      Beam's result, with the counters "used" and those of `base.KINDS`; None without Beam.

    Raises:
      A2vError: Beam is not installed or fails.
    """
    if config.beam_options is None and config.beam_runner is None:
        for task in tqdm(tasks, unit=" shards", disable=None):
            make(task, generate, features)
        return None
    return beam.spread(
        _make_and_count,
        tasks,
        generate,
        features,
        options=config.beam_options,
        runner=config.beam_runner,
    )


def make(
    task: str, generate: Generate, features: tfds.features.FeaturesDict
) -> collections.Counter[str]:
    """Write a shard, unless it is finished.

    Returns:
      Numbers of used clips ("used") and of unused clips by kind; empty if it was finished.
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
    beam.count("clips", make(task, generate, features))


def collect(
    folder: epath.Path, name: str, split: str, shards: int
) -> tuple[tfds.core.SplitInfo, list[tuple[str, str]]]:
    """Read the results of a finished split: TFDS's metadata; (key, reason) of unused clips."""
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
    """Like `files.whole_file`, on any file system of TensorFlow; `beside` is in `work/`."""
    partial = f"{os.fspath(beside)}.{uuid.uuid4().hex}"
    try:
        yield partial
        tf.io.gfile.rename(partial, os.fspath(path), overwrite=True)
    finally:
        if tf.io.gfile.exists(partial):
            tf.io.gfile.remove(partial)
