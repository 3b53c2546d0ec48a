package org.a2vtf.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.Test;

public class RingBufferTest {
  @Test
  public void readsWhatWasWritten() {
    RingBuffer ring = new RingBuffer(5);
    short[] out = new short[9];
    assertEquals(3, ring.write(new short[] {9, 1, 2, 3}, 1, 3));
    assertEquals(3, ring.available());
    assertEquals(2, ring.read(out, 0, 2));
    assertEquals(4, ring.write(new short[] {4, 5, 6, 7}, 0, 4)); // over the end
    assertEquals(5, ring.available());
    assertEquals(5, ring.read(out, 2, 7));
    assertArrayEquals(new short[] {1, 2, 3, 4, 5, 6, 7, 0, 0}, out);
    assertEquals(0, ring.available());
    assertEquals(0, ring.read(out, 0, 9));
    assertEquals(0, ring.overruns());
  }

  @Test
  public void countsLostSamples() {
    RingBuffer ring = new RingBuffer(4);
    assertEquals(4, ring.write(new short[] {1, 2, 3, 4, 5, 6}, 0, 6));
    assertEquals(0, ring.write(new short[] {7}, 0, 1));
    assertEquals(2, ring.overruns());
    assertEquals(3, ring.lost());
    short[] out = new short[4];
    assertEquals(4, ring.read(out, 0, 4));
    assertArrayEquals(new short[] {1, 2, 3, 4}, out);
    assertEquals(1, ring.write(new short[] {8}, 0, 1));
    assertEquals(2, ring.overruns());
  }

  @Test
  public void clearRemovesAll() {
    RingBuffer ring = new RingBuffer(3);
    ring.write(new short[] {1, 2, 3, 4}, 0, 4);
    ring.clear();
    assertEquals(0, ring.available());
    assertEquals(0, ring.overruns());
    assertEquals(0, ring.lost());
    short[] out = new short[3];
    assertEquals(3, ring.write(new short[] {5, 6, 7}, 0, 3));
    assertEquals(3, ring.read(out, 0, 3));
    assertArrayEquals(new short[] {5, 6, 7}, out);
  }

  @Test
  public void refusesInvalidArguments() {
    assertThrows(IllegalArgumentException.class, () -> new RingBuffer(0));
    RingBuffer ring = new RingBuffer(4);
    short[] array = new short[4];
    assertThrows(IndexOutOfBoundsException.class, () -> ring.write(array, 2, 3));
    assertThrows(IndexOutOfBoundsException.class, () -> ring.write(array, -1, 1));
    assertThrows(IndexOutOfBoundsException.class, () -> ring.read(array, 0, -1));
    assertThrows(IndexOutOfBoundsException.class, () -> ring.read(array, 4, 1));
    assertEquals(0, ring.available());
  }

  @Test
  public void twoThreadsSeeOneSequence() throws Exception {
    long lost = runTwoThreads(100_000, 1_000_000, 0);
    assertEquals(0, lost);
  }

  @Test
  public void twoThreadsSeeOneSequenceWithGapsWhereItOverruns() throws Exception {
    long lost = runTwoThreads(512, 1_000_000, 50);
    assertTrue(lost > 0);
  }

  /**
   * Writes numbered samples on one thread, while another one reads and checks them. A lost sample
   * is written again, so that no number is missing.
   *
   * @param waits number of reads between two sleeps of the reader; 0: the writer waits for space
   * @return samples lost
   */
  private static long runTwoThreads(int capacity, long total, int waits) throws Exception {
    RingBuffer ring = new RingBuffer(capacity);
    AtomicLong wrong = new AtomicLong(-1);
    AtomicBoolean done = new AtomicBoolean();
    Thread reader =
        new Thread(
            () -> {
              Random random = new Random(1);
              short[] block = new short[700];
              long next = 0;
              for (int reads = 1; next < total && wrong.get() < 0; reads++) {
                int count = ring.read(block, 0, random.nextInt(block.length + 1));
                for (int i = 0; i < count; i++, next++) {
                  if (block[i] != (short) next) {
                    wrong.compareAndSet(-1, next);
                  }
                }
                if (waits > 0 && reads % waits == 0) {
                  sleep();
                } else if (count == 0) {
                  Thread.yield();
                }
              }
              done.set(true);
            });
    reader.start();
    Random random = new Random(2);
    short[] block = new short[900];
    long accepted = 0;
    long offered = 0;
    while (accepted < total && wrong.get() < 0) {
      int count = (int) Math.min(total - accepted, random.nextInt(block.length + 1));
      while (waits == 0 && capacity - ring.available() < count) {
        Thread.yield();
      }
      for (int i = 0; i < count; i++) {
        block[i] = (short) (accepted + i);
      }
      int taken = ring.write(block, 0, count);
      accepted += taken;
      offered += count;
      if (taken < count) {
        Thread.yield();
      }
    }
    reader.join(60_000);
    assertEquals("first wrong sample", -1, wrong.get());
    assertTrue("the reader never got all", done.get());
    assertEquals(offered - accepted, ring.lost());
    assertTrue(ring.overruns() <= ring.lost());
    assertEquals(ring.lost() > 0, ring.overruns() > 0);
    return ring.lost();
  }

  private static void sleep() {
    try {
      Thread.sleep(1);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }
}
