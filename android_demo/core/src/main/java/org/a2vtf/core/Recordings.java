package org.a2vtf.core;

import java.util.Arrays;

/** Embeds places of a recording, by an encoder of a stream or of windows. */
public final class Recordings {
  private Recordings() {}

  /**
   * The embeddings of the windows that end at given samples. The recording is streamed from its
   * start, less than a hop of which may be left out, so that a hop ends with each window. The
   * encoder is reset before and afterwards.
   *
   * @param encoder of a stream, or of windows, whose hop is the window
   * @param pcm the recording, in [-1, 1]
   * @param ends samples, from a hop to {@code pcm.length}; those that are a multiple of the hop
   *     apart are embedded in one pass
   * @return {@code [ends.length][embeddingDim]}
   * @throws IndexOutOfBoundsException if an end is not within the recording, or before a hop
   */
  public static float[][] embedAt(Encoder encoder, float[] pcm, int... ends) {
    int hop = encoder.hopSamples();
    for (int end : ends) {
      Ranges.check(pcm.length, end - hop, hop);
    }
    float[][] embeddings = new float[ends.length][];
    for (int i = 0; i < ends.length; i++) {
      if (embeddings[i] == null) {
        stream(encoder, pcm, ends, ends[i] % hop, embeddings);
      }
    }
    return embeddings;
  }

  /** Streams from a sample on, and stores the embeddings at those ends that are ends of hops. */
  private static void stream(
      Encoder encoder, float[] pcm, int[] ends, int start, float[][] embeddings) {
    int hop = encoder.hopSamples();
    int last = 0;
    for (int end : ends) {
      last = end % hop == start ? Math.max(last, end) : last;
    }
    float[] embedding = new float[encoder.embeddingDim()];
    encoder.reset();
    for (int end = start + hop; end <= last; end += hop) {
      encoder.embed(Arrays.copyOfRange(pcm, end - hop, end), embedding);
      for (int i = 0; i < ends.length; i++) {
        if (ends[i] == end) {
          embeddings[i] = embedding.clone();
        }
      }
    }
    encoder.reset();
  }
}
