package org.a2vtf.core;

import static org.junit.Assert.assertEquals;

/** An encoder whose embeddings are: last sample, weighted sum so far, steps so far. */
final class FakeEncoder implements Encoder {
  private final int hop;
  private double sum;
  int steps;
  int resets;

  FakeEncoder(int hop) {
    this.hop = hop;
  }

  @Override
  public int hopSamples() {
    return hop;
  }

  @Override
  public int embeddingDim() {
    return 3;
  }

  @Override
  public void embed(float[] pcm, float[] embedding) {
    assertEquals(hop, pcm.length);
    assertEquals(3, embedding.length);
    for (float sample : pcm) {
      sum = 0.9 * sum + sample; // which depends on the order
    }
    embedding[0] = pcm[hop - 1];
    embedding[1] = (float) sum;
    embedding[2] = ++steps;
  }

  @Override
  public void reset() {
    sum = 0;
    steps = 0;
    resets++;
  }

  @Override
  public void close() {}
}
