package org.a2vtf.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.Test;

public class EmbeddingStreamTest {
  private static final int HOP = 1_280;
  private static final int SAMPLES = 20 * HOP + 77;

  /** Keeps all results, in order. */
  private static final class Results implements EmbeddingStream.Listener {
    final List<float[]> embeddings = new ArrayList<>();
    final List<Long> ends = new ArrayList<>();
    float[] frames = new float[0];

    @Override
    public void onEmbedding(float[] embedding, long endSample) {
      embeddings.add(embedding.clone());
      ends.add(endSample);
    }

    @Override
    public void onFrames(float[] logMel, int count) {
      assertTrue(count > 0);
      int length = frames.length;
      frames = Arrays.copyOf(frames, length + count * LogMel.BINS);
      System.arraycopy(logMel, 0, frames, length, count * LogMel.BINS);
      // No embedding came before the frames of its hop.
      long lastFrame = (long) frames.length / LogMel.BINS * LogMel.HOP;
      assertTrue(lastFrame - embeddings.size() * (long) HOP <= HOP);
      assertTrue(lastFrame > embeddings.size() * (long) HOP);
    }
  }

  @Test
  public void resultsDoNotDependOnTheBlockSizes() {
    Random random = new Random(1);
    short[] pcm = pcm(random);
    Results whole = feed(pcm, SAMPLES, random);
    assertEquals(20, whole.embeddings.size());
    assertEquals(SAMPLES / LogMel.HOP * LogMel.BINS, whole.frames.length);
    for (int longest : new int[] {1, 3, 160, 1_000, HOP, 3_000, 10_000}) {
      Results pieces = feed(pcm, longest, random);
      assertArrayEquals(whole.frames, pieces.frames, 0f);
      assertEquals(whole.ends, pieces.ends);
      for (int i = 0; i < 20; i++) {
        assertArrayEquals(whole.embeddings.get(i), pieces.embeddings.get(i), 0f);
      }
    }
  }

  @Test
  public void cutsAtTheHopAndScales() {
    short[] pcm = pcm(new Random(2));
    pcm[HOP - 1] = Short.MIN_VALUE;
    pcm[2 * HOP - 1] = Short.MAX_VALUE;
    Results results = feed(pcm, 500, new Random(3));
    assertEquals(-1f, results.embeddings.get(0)[0], 0f);
    assertEquals(32_767f / 32_768f, results.embeddings.get(1)[0], 0f);
    for (int i = 0; i < 20; i++) {
      assertEquals((i + 1L) * HOP, (long) results.ends.get(i));
      assertEquals(i + 1, results.embeddings.get(i)[2], 0f);
      assertEquals(pcm[(i + 1) * HOP - 1] / 32_768f, results.embeddings.get(i)[0], 0f);
    }
  }

  @Test
  public void framesEqualLogMel() {
    short[] pcm = pcm(new Random(4));
    float[] expected = new float[(SAMPLES / LogMel.HOP + 1) * LogMel.BINS];
    int frames = new LogMel().feed(Golden.wave(pcm), 0, SAMPLES, expected);
    Results results = feed(pcm, 800, new Random(5));
    assertArrayEquals(Arrays.copyOf(expected, frames * LogMel.BINS), results.frames, 0f);
  }

  @Test
  public void resetStartsANewStream() {
    short[] pcm = pcm(new Random(6));
    FakeEncoder encoder = new FakeEncoder(HOP);
    Results results = new Results();
    EmbeddingStream stream = new EmbeddingStream(encoder, null, results);
    int before = encoder.resets;
    stream.feed(pcm, 0, 2 * HOP + 5);
    assertEquals(2 * HOP + 5, stream.samples());
    assertTrue(stream.embedNanos() > 0);
    stream.reset();
    assertEquals(before + 1, encoder.resets);
    assertEquals(0, stream.samples());
    assertEquals(0, stream.embedNanos());
    stream.feed(pcm, 0, 2 * HOP);
    assertEquals(Arrays.asList((long) HOP, 2L * HOP, (long) HOP, 2L * HOP), results.ends);
    assertArrayEquals(results.embeddings.get(1), results.embeddings.get(3), 0f);
    assertEquals(0, results.frames.length);
  }

  @Test
  public void measuresOnlyTheEncoder() {
    FakeEncoder quick = new FakeEncoder(160);
    Encoder slow =
        new Encoder() {
          @Override
          public int hopSamples() {
            return quick.hopSamples();
          }

          @Override
          public int embeddingDim() {
            return quick.embeddingDim();
          }

          @Override
          public void embed(float[] pcm, float[] embedding) {
            long end = System.nanoTime() + 2_000_000;
            while (System.nanoTime() < end) {
              Thread.yield();
            }
          }

          @Override
          public void reset() {}

          @Override
          public void close() {}
        };
    EmbeddingStream stream = new EmbeddingStream(slow, null, new Results());
    long start = System.nanoTime();
    stream.feed(new short[480], 0, 480);
    long all = System.nanoTime() - start;
    assertTrue(stream.embedNanos() >= 6_000_000);
    assertTrue(stream.embedNanos() <= all);
  }

  @Test
  public void refusesInvalidRanges() {
    EmbeddingStream stream = new EmbeddingStream(new FakeEncoder(HOP), null, new Results());
    assertThrows(IndexOutOfBoundsException.class, () -> stream.feed(new short[4], 2, 3));
    assertEquals(0, stream.samples());
  }

  private static Results feed(short[] pcm, int longest, Random random) {
    Results results = new Results();
    EmbeddingStream stream = new EmbeddingStream(new FakeEncoder(HOP), new LogMel(), results);
    for (int next = 0; next < pcm.length; ) {
      int count = Math.min(pcm.length - next, random.nextInt(longest + 1));
      stream.feed(pcm, next, count);
      next += count;
    }
    assertEquals(pcm.length, stream.samples());
    return results;
  }

  private static short[] pcm(Random random) {
    short[] pcm = new short[SAMPLES];
    for (int i = 0; i < pcm.length; i++) {
      pcm[i] = (short) random.nextInt();
    }
    return pcm;
  }
}
