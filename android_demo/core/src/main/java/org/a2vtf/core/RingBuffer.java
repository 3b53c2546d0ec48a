package org.a2vtf.core;

import java.util.concurrent.atomic.AtomicLong;

/**
 * A lock-free queue of samples between one writing thread (the microphone's, which must never wait)
 * and one reading thread. Samples that do not fit are dropped and counted.
 */
public final class RingBuffer {
  private final short[] samples;
  // Both only increase. Each is set by one thread, after it has accessed the samples.
  private final AtomicLong written = new AtomicLong();
  private final AtomicLong read = new AtomicLong();
  private final AtomicLong overruns = new AtomicLong();
  private final AtomicLong lost = new AtomicLong();

  /**
   * @param capacity capacity in samples, at least 1
   */
  public RingBuffer(int capacity) {
    if (capacity < 1) {
      throw new IllegalArgumentException("capacity is " + capacity + ": expected at least 1");
    }
    samples = new short[capacity];
  }

  /**
   * Appends samples, as many as fit. Only for the writing thread.
   *
   * @return the number of appended samples; the remaining ones are lost
   */
  public int write(short[] from, int offset, int count) {
    Ranges.check(from.length, offset, count);
    long end = written.get();
    int room = samples.length - (int) (end - read.get());
    int taken = Math.min(room, count);
    int start = (int) (end % samples.length);
    int first = Math.min(taken, samples.length - start);
    System.arraycopy(from, offset, samples, start, first);
    System.arraycopy(from, offset + first, samples, 0, taken - first);
    written.set(end + taken);
    if (taken < count) {
      overruns.incrementAndGet();
      lost.addAndGet(count - taken);
    }
    return taken;
  }

  /**
   * Removes the oldest samples, as many as there are. Only for the reading thread.
   *
   * @return the number of removed samples, from 0 to {@code count}
   */
  public int read(short[] into, int offset, int count) {
    Ranges.check(into.length, offset, count);
    long begin = read.get();
    int taken = Math.min((int) (written.get() - begin), count);
    int start = (int) (begin % samples.length);
    int first = Math.min(taken, samples.length - start);
    System.arraycopy(samples, start, into, offset, first);
    System.arraycopy(samples, 0, into, offset + first, taken - first);
    read.set(begin + taken);
    return taken;
  }

  /** Number of samples to be read. */
  public int available() {
    long begin = read.get(); // read before `written`, which can only increase
    return (int) Math.min(written.get() - begin, samples.length);
  }

  /** Number of calls of {@link #write} that lost samples. */
  public long overruns() {
    return overruns.get();
  }

  /** Number of lost samples. */
  public long lost() {
    return lost.get();
  }

  /** Removes all samples and resets both counters. Only for the reading thread. */
  public void clear() {
    read.set(written.get());
    overruns.set(0);
    lost.set(0);
  }
}
