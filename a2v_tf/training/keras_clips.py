"""Embed whole recordings with the Keras encoder of a model directory; needs TensorFlow."""

from collections.abc import Iterable

import numpy as np

from a2v_tf.audio.read import joined
from a2v_tf.frontend import log_mel
from a2v_tf.runtime.clips import (
    BATCH,
    ClipEmbeddings,
    EmbedClip,
    check_stream_hop,
    stream_embeddings,
    window_clips,
)
from a2v_tf.training.model_dir import load_encoder, load_stream_encoder, sound_front_end


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
    encoder, front_end = load_encoder(model_dir), sound_front_end(model_dir)

    def embed(batch: np.ndarray) -> np.ndarray:
        return np.asarray(encoder(log_mel(batch, front_end), training=False))

    window = front_end.samples(encoder.input_shape[1])
    return window_clips(embed, hop_ms, window, front_end.sample_rate)


def _stream_clips(model_dir: str, hop_ms: float | None) -> EmbedClip:
    encoder, step_frames, frames = load_stream_encoder(model_dir)
    front_end = sound_front_end(model_dir)
    hop = step_frames * front_end.hop_length
    check_stream_hop(hop_ms, hop, front_end.sample_rate, model_dir)
    before = front_end.overlap
    # What came more than two windows ago changes nothing: so a long clip goes in blocks.
    history = 2 * frames // step_frames

    def embed(pcm: np.ndarray, steps: int) -> np.ndarray:
        """The last `steps` embeddings of `before` samples and whole hops."""
        return np.asarray(encoder(log_mel(pcm[np.newaxis], front_end), training=False))[0, -steps:]

    def embed_clip(blocks: Iterable[np.ndarray]) -> ClipEmbeddings:
        parts, samples, done = [], 0, 0
        held = np.zeros(before, np.float32)  # what the next steps depend on
        for pcm in joined(blocks, BATCH * hop):
            held, samples = np.concatenate([held, pcm]), samples + len(pcm)
            while samples >= (done + BATCH) * hop:
                kept = min(done, history)
                parts.append(embed(held[: before + (kept + BATCH) * hop], BATCH))
                done += BATCH
                held = held[max(0, kept + BATCH - history) * hop :]
        rest = max(1 - done, samples // hop - done)
        if rest > 0:
            end = before + (min(done, history) + rest) * hop
            parts.append(embed(np.pad(held, (0, max(0, end - len(held))))[:end], rest))
        return stream_embeddings(np.concatenate(parts), hop, front_end.samples(frames))

    return EmbedClip(embed_clip, front_end.sample_rate)
