package org.a2vtf.core;

import java.io.Closeable;

/**
 * A streaming model: sound in, an embedding out for every hop. Its state is inside, so one object
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

  /** Forgets all that was heard: what follows is as after opening the model. */
  void reset();

  /** Frees the model, which is then not to be used any more. */
  @Override
  void close();
}
