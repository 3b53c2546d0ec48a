package org.a2vtf.runtime;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.a2vtf.core.EmbeddingStream;
import org.a2vtf.core.Encoder;
import org.junit.Test;

/**
 * Long use: small by default; with {@code -Da2v.hours=24 -Da2v.resets=100000 -Da2v.opens=1000} at
 * full size.
 */
public class EnduranceTest {
  private static final int RATE = 16_000;
  private static final int LAST_SECONDS = 60;
  private static final long MOST_GROWTH = 64 << 20; // bytes; a JVM's own use varies by some tens
  private static final File SELF = new File("/proc/self");

  private static double setting(String name, double usual) {
    return Double.parseDouble(System.getProperty("a2v." + name, String.valueOf(usual)));
  }

  private static Encoder open() throws Exception {
    return Models.open(Golden.bytes("internal.tflite"), new Models.Options());
  }

  /** The golden sound, over and over, a second a call; the end of a block is not that of a hop. */
  private static final class Sound {
    private final short[] pcm;
    private int at;

    Sound() throws IOException {
      float[] golden = Golden.pcm();
      pcm = new short[golden.length - 7];
      for (int i = 0; i < pcm.length; i++) {
        pcm[i] = (short) (golden[i] * 32_768);
      }
    }

    short[] second() {
      short[] block = new short[RATE];
      for (int i = 0; i < RATE; i++) {
        block[i] = pcm[at];
        at = (at + 1) % pcm.length;
      }
      return block;
    }
  }

  /** Keeps the last embeddings, up to a number. */
  private static final class Last implements EmbeddingStream.Listener {
    final ArrayDeque<float[]> embeddings = new ArrayDeque<float[]>();
    private final int most;

    Last(int most) {
      this.most = most;
    }

    @Override
    public void onEmbedding(float[] embedding, long endSample) {
      embeddings.add(embedding.clone());
      if (embeddings.size() > most) {
        embeddings.remove();
      }
    }

    @Override
    public void onFrames(float[] logMel, int frames) {}
  }

  /** Resident bytes of this process after the collection of garbage; 0 where Linux is not. */
  private static long resident() throws IOException {
    System.gc();
    if (!SELF.exists()) {
      return 0;
    }
    String[] pages = new String(Files.readAllBytes(new File(SELF, "statm").toPath())).split(" ");
    return 4096 * Long.parseLong(pages[1]);
  }

  private static int openFiles() {
    String[] files = new File(SELF, "fd").list();
    return files == null ? 0 : files.length;
  }

  private static void assertNoGrowth(String what, long before) throws IOException {
    long growth = resident() - before;
    System.out.println(what + ": " + growth / 1024 + " kB more resident memory");
    assertTrue(what + ": " + growth + " bytes more", growth < MOST_GROWTH);
  }

  @Test
  public void aLongStreamEndsAsAFreshOne() throws Exception {
    int seconds = (int) (3_600 * setting("hours", 0.05));
    assumeTrue(seconds > 2 * LAST_SECONDS);
    Encoder encoder = open();
    int last = LAST_SECONDS * RATE / encoder.hopSamples();
    Last found = new Last(last);
    EmbeddingStream stream = new EmbeddingStream(encoder, null, found);
    Sound sound = new Sound();
    ArrayDeque<short[]> blocks = new ArrayDeque<short[]>(); // the last ones, and two before them
    long afterAMinute = 0;
    for (int i = 0; i < seconds; i++) {
      short[] block = sound.second();
      blocks.add(block);
      if (blocks.size() > LAST_SECONDS + 2) {
        blocks.remove();
      }
      stream.feed(block, 0, block.length);
      afterAMinute = i == 60 ? resident() : afterAMinute;
    }
    encoder.close();
    assertNoGrowth(seconds + " s of sound", afterAMinute);

    Encoder fresh = open();
    Last expected = new Last(last);
    EmbeddingStream second = new EmbeddingStream(fresh, null, expected);
    int hop = fresh.hopSamples(); // the hops of the long stream began at a multiple of it
    long start = (seconds - LAST_SECONDS - 2L) * RATE;
    int skipped = (int) ((hop - start % hop) % hop);
    for (short[] block : blocks) {
      second.feed(block, skipped, block.length - skipped);
      skipped = 0;
    }
    fresh.close();
    assertEquals(last, found.embeddings.size());
    for (float[] embedding : expected.embeddings) {
      assertArrayEquals(embedding, found.embeddings.remove(), 0f);
    }
  }

  @Test
  public void resetsGiveTheFirstEmbeddingAgain() throws Exception {
    int resets = (int) setting("resets", 1_000);
    float[] pcm = Arrays.copyOfRange(Golden.pcm(), 0, Golden.number("hop_samples"));
    float[] first = Golden.embeddings("xnnpack")[0];
    float[] embedding = new float[first.length];
    Encoder encoder = open();
    long before = 0;
    for (int i = 0; i < resets; i++) {
      encoder.embed(pcm, embedding);
      assertArrayEquals("reset " + i, first, embedding, 0f);
      encoder.reset();
      before = i == resets / 10 ? resident() : before;
    }
    encoder.close();
    assertNoGrowth(resets + " resets", before);
  }

  @Test
  public void openingAndClosingLeavesNothing() throws Exception {
    int opens = (int) setting("opens", 30);
    float[] pcm = Arrays.copyOfRange(Golden.pcm(), 0, Golden.number("hop_samples"));
    float[] first = Golden.embeddings("xnnpack")[0];
    float[] embedding = new float[first.length];
    long before = 0;
    int files = openFiles();
    for (int i = 0; i < opens; i++) {
      Encoder encoder = open();
      encoder.embed(pcm, embedding);
      assertArrayEquals(first, embedding, 0f);
      encoder.close();
      before = i == opens / 10 ? resident() : before;
      files = i == 0 ? openFiles() : files; // the library itself keeps some
    }
    assertNoGrowth(opens + " times opened and closed", before);
    assertTrue(openFiles() + " open files, before " + files, openFiles() <= files + 2);
  }

  @Test
  public void eightThreadsWithAnEncoderEach() throws Exception {
    final float[] pcm = Golden.pcm();
    ExecutorService threads = Executors.newFixedThreadPool(8);
    List<Future<float[][]>> results = new ArrayList<Future<float[][]>>();
    for (int i = 0; i < 8; i++) {
      results.add(
          threads.submit(
              new Callable<float[][]>() {
                @Override
                public float[][] call() throws Exception {
                  Encoder encoder = open();
                  try {
                    return ModelsTest.embed(encoder, pcm);
                  } finally {
                    encoder.close();
                  }
                }
              }));
    }
    for (Future<float[][]> result : results) {
      assertTrue(Arrays.deepEquals(Golden.embeddings("xnnpack"), result.get()));
    }
    threads.shutdown();
  }
}
