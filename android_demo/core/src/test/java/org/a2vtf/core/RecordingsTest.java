package org.a2vtf.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;

public class RecordingsTest {
  /** Embeds the last sample of a hop, and the number of hops since the last reset. */
  private static final class Counter implements Encoder {
    final List<Float> starts = new ArrayList<>();
    final int hop;
    int hops;

    Counter(int hop) {
      this.hop = hop;
    }

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
      assertEquals(hop, pcm.length);
      if (hops == 0) {
        starts.add(pcm[0]);
      }
      hops++;
      embedding[0] = pcm[hop - 1];
      embedding[1] = hops;
    }

    @Override
    public void reset() {
      hops = 0;
    }

    @Override
    public void close() {}
  }

  private static float[] count(int samples) {
    float[] pcm = new float[samples];
    for (int i = 0; i < samples; i++) {
      pcm[i] = i;
    }
    return pcm;
  }

  @Test
  public void endsOfOneGridAreEmbeddedInOnePass() {
    Counter encoder = new Counter(10);
    float[][] got = Recordings.embedAt(encoder, count(100), 33, 93, 13, 33);
    assertEquals(4, got.length);
    assertArrayEquals(new float[] {32, 3}, got[0], 0f);
    assertArrayEquals(new float[] {92, 9}, got[1], 0f);
    assertArrayEquals(new float[] {12, 1}, got[2], 0f);
    assertArrayEquals(new float[] {32, 3}, got[3], 0f);
    assertEquals(Arrays.asList(3f), encoder.starts);
    assertEquals(0, encoder.hops); // reset
  }

  @Test
  public void otherEndsHaveAPassEach() {
    Counter encoder = new Counter(40); // windows, for instance
    float[][] got = Recordings.embedAt(encoder, count(100), 45, 100);
    assertArrayEquals(new float[] {44, 1}, got[0], 0f);
    assertArrayEquals(new float[] {99, 2}, got[1], 0f);
    assertEquals(Arrays.asList(5f, 20f), encoder.starts);
  }

  @Test
  public void endsOutsideTheRecordingAreRefused() {
    Counter encoder = new Counter(10);
    for (int end : new int[] {9, 0, -1, 101}) {
      assertThrows(
          IndexOutOfBoundsException.class,
          () -> Recordings.embedAt(encoder, count(100), 50, end));
    }
    assertEquals(0, Recordings.embedAt(encoder, count(100)).length);
  }
}
