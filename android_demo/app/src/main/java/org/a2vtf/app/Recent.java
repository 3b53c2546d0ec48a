package org.a2vtf.app;

import org.a2vtf.core.LogMel;

/** The last seconds of sound, in memory only: one thread appends, another one copies. */
final class Recent {
  /** The longest sound that is kept. */
  static final int SECONDS = 10;

  private final short[] samples = new short[SECONDS * LogMel.SAMPLE_RATE];
  private long count;

  synchronized void add(short[] block, int number) {
    for (int i = 0; i < number; i++, count++) {
      samples[(int) (count % samples.length)] = block[i];
    }
  }

  synchronized void clear() {
    count = 0;
  }

  /** The kept sound, oldest sample first. */
  synchronized short[] copy() {
    int number = (int) Math.min(count, samples.length);
    short[] copied = new short[number];
    for (int i = 0; i < number; i++) {
      copied[i] = samples[(int) ((count - number + i) % samples.length)];
    }
    return copied;
  }
}
