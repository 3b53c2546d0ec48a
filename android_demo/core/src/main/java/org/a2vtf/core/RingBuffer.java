package org.a2vtf.core;

import java.util.concurrent.atomic.AtomicLong;

/**
 * A queue of samples between one writing thread (which must never wait: the microphone's) and one
 * reading thread. Nothing locks. What does not fit is lost and counted.
 */
public final class RingBuffer {
  private final short[] samples;
  // Both only grow; each is set by one thread, after it has touched the samples.
  private final AtomicLong written = new AtomicLong();
  private final AtomicLong read = new AtomicLong();
  private final AtomicLong overruns = new AtomicLong();
  private final AtomicLong lost = new AtomicLong();

  /**
   * @param capacity samples that it holds, at least 1
   */
  public RingBuffer(int capacity) {
    if (capacity < 1) {
      throw new IllegalArgumentException("capacity is " + capacity + ": expected at least 1");
    }
    samples = new short[capacity];
  }

  /**
   * Appends samples, as many as there is room for. For the writing thread.
   *
   * @return how many were taken; the last {@code count} minus that are lost
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
   * Takes the oldest samples out, as many as there are. For the reading thread.
   *
   * @return how many were taken, from 0 to {@code count}
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

  /** Samples that wait to be read. */
  public int available() {
    long begin = read.get(); // before `written`, which may only have grown since
    return (int) Math.min(written.get() - begin, samples.length);
  }

  /** Calls of {@link #write} that lost samples. */
  public long overruns() {
    return overruns.get();
  }

  /** Samples lost. */
  public long lost() {
    return lost.get();
  }

  /** Drops what waits and sets both counters to 0. For the reading thread. */
  public void clear() {
    read.set(written.get());
    overruns.set(0);
    lost.set(0);
  }
}
