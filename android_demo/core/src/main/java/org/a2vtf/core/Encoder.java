package org.a2vtf.core;

import java.io.Closeable;

/**
 * A streaming model: it takes a hop of sound and gives an embedding. It has a state, so an object
 * serves one stream, on one thread at a time.
 */
public interface Encoder extends Closeable {
  /** Samples between two embeddings, at 16 kHz; 1280 are 80 ms. */
  int hopSamples();

  /** Numbers in an embedding. */
  int embeddingDim();

  /**
   * Takes the next hop of the stream.
   *
   * @param pcm exactly {@link #hopSamples} samples in [-1, 1]
   * @param embedding filled with {@link #embeddingDim} numbers: the embedding of the window that
   *     ends with this hop
   */
  void embed(float[] pcm, float[] embedding);

  /** Resets the state to that after opening the model. */
  void reset();

  /** Frees the model, which cannot be used any more. */
  @Override
  void close();
}
