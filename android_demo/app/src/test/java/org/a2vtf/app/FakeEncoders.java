package org.a2vtf.app;

import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;
import org.a2vtf.core.Encoder;

/** Fake models of loudness and pitch; a file is one byte, the hop in units of 160 samples. */
final class FakeEncoders implements Encoders {
  static final byte[] MODEL = {8};
  static final byte[] OTHER = {16};
  static final byte[] WRONG = {0};

  final AtomicInteger open = new AtomicInteger();
  volatile int millis;

  @Override
  public Encoder open(byte[] model, int threads, boolean xnnpack) throws IOException {
    if (model.length != 1 || model[0] <= 0) {
      throw new IOException("this is no model");
    }
    final int hop = model[0] * 160;
    open.incrementAndGet();
    return new Encoder() {
      @Override
      public int hopSamples() {
        return hop;
      }

      @Override
      public int embeddingDim() {
        return 2;
      }

      @Override
      public void embed(float[] pcm, float[] embedding) {
        double energy = 0;
        int crossings = 0;
        for (int i = 0; i < hop; i++) {
          energy += pcm[i] * pcm[i];
          crossings += i > 0 && pcm[i] * pcm[i - 1] < 0 ? 1 : 0;
        }
        embedding[0] = (float) Math.sqrt(energy / hop);
        embedding[1] = crossings / (float) hop;
        if (millis > 0) {
          try {
            Thread.sleep(millis);
          } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
          }
        }
      }

      @Override
      public void reset() {}

      @Override
      public void close() {
        open.decrementAndGet();
      }
    };
  }

  @Override
  public String describe(byte[] model) throws IOException {
    open(model, 1, true).close();
    return "loudness and pitch every " + 10 * model[0] + " ms";
  }
}
