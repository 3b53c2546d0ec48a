"""Embed whole recordings with the Keras encoder of a model directory; needs TensorFlow."""

import numpy as np

from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.runtime.clips import (
    BATCH,
    ClipEmbeddings,
    EmbedClip,
    check_stream_hop,
    stream_embeddings,
    window_clips,
)
from a2v_tf.training.model_dir import load_encoder, load_stream_encoder


def keras_clips(model_dir: str, hop_ms: float | None = None, stream: bool = False) -> EmbedClip:
    """Open the encoder of a model directory to embed clips with.

    Args:
      model_dir: as `a2v_train` leaves it.
      hop_ms: milliseconds between embeddings; None for 320, or a stream's own.
      stream: compute what a streaming file computes, instead of windows on their own.

    Raises:
      A2vError: no such model, one that takes no audio, or one that cannot have this hop.
    """
    if stream:
        return _stream_clips(model_dir, hop_ms)
    encoder = load_encoder(model_dir)

    def embed(batch: np.ndarray) -> np.ndarray:
        return np.asarray(encoder(log_mel(batch), training=False))

    return window_clips(embed, hop_ms, FRONT_END.samples(encoder.input_shape[1]))


def _stream_clips(model_dir: str, hop_ms: float | None) -> EmbedClip:
    encoder, step_frames, frames = load_stream_encoder(model_dir)
    hop = step_frames * FRONT_END.hop_length
    check_stream_hop(hop_ms, hop, model_dir)
    before = FRONT_END.overlap
    # What came more than two windows ago changes nothing: so a long clip goes in blocks.
    history = 2 * frames // step_frames

    def embed_block(padded: np.ndarray, first: int, last: int) -> np.ndarray:
        start = max(0, first - history)
        pcm = padded[np.newaxis, start * hop : before + last * hop]
        return np.asarray(encoder(log_mel(pcm), training=False))[0, first - start :]

    def embed_clip(pcm: np.ndarray) -> ClipEmbeddings:
        steps = max(1, len(pcm) // hop)
        padded = np.zeros(before + steps * hop, np.float32)
        padded[before : before + len(pcm)] = pcm[: steps * hop]
        blocks = [
            embed_block(padded, first, min(first + BATCH, steps))
            for first in range(0, steps, BATCH)
        ]
        return stream_embeddings(np.concatenate(blocks), hop, FRONT_END.samples(frames))

    return embed_clip
