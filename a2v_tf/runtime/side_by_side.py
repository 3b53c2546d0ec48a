"""Embed clips with several models at once, side by side (ICLR sections 4 and 5)."""

import queue
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.runtime.clips import ClipEmbeddings, EmbedClip

_WAITING = 2  # blocks that wait for each model, so that long clips take no more memory

_Block = np.ndarray | None  # None: the clip has ended


def side_by_side(models: Sequence[EmbedClip]) -> EmbedClip:
    """Concatenate the embeddings of models: `[n, d1]`, `[n, d2]` -> `[n, d1 + d2]`.

    Args:
      models: with the same hop, which describe slices of the same length.
    """
    if len(models) == 1:
        return models[0]
    rates = {model.sample_rate for model in models}
    if len(rates) > 1:
        raise A2vError(
            f"--model: the models take sound at {' and '.join(map(str, sorted(rates)))} Hz: "
            "expected models of one sample rate"
        )

    def embed_clip(blocks: Iterable[np.ndarray]) -> ClipEmbeddings:
        waiting: list[queue.Queue[_Block]] = [queue.Queue(_WAITING) for _ in models]
        with ThreadPoolExecutor(len(models)) as threads:
            futures = [
                threads.submit(_embed, model, blocks)
                for model, blocks in zip(models, waiting, strict=True)
            ]
            try:
                for block in blocks:
                    for each in waiting:
                        each.put(block)
            finally:
                for each in waiting:
                    each.put(None)
        return _joined(futures)

    return EmbedClip(embed_clip, models[0].sample_rate)


def _embed(model: EmbedClip, waiting: queue.Queue[_Block]) -> ClipEmbeddings:
    blocks = _blocks(waiting)
    try:
        return model(blocks)
    finally:
        for _ in blocks:  # after an error, too: else whoever gives them would wait for ever
            pass


def _blocks(waiting: queue.Queue[_Block]) -> Iterator[np.ndarray]:
    while (block := waiting.get()) is not None:
        yield block


def _joined(futures: Sequence[Future[ClipEmbeddings]]) -> ClipEmbeddings:
    first, *others = parts = [future.result() for future in futures]
    for other in others:
        if not (
            np.array_equal(first.starts, other.starts) and np.array_equal(first.ends, other.ends)
        ):
            raise A2vError(
                "--model: the models describe other stretches of a clip; expected models of one "
                "hop, with slices of one length"
            )
    return first._replace(embeddings=np.concatenate([part.embeddings for part in parts], axis=1))
