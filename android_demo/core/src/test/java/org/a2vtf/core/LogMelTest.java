package org.a2vtf.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.junit.Test;

public class LogMelTest {
  private static final int SAMPLES = 9_000;

  @Test
  public void equalsThePythonFrontEnd() throws Exception {
    String[] sounds =
        Golden.properties("front_end/index.properties").getProperty("sounds").split(",");
    assertEquals(7, sounds.length);
    for (String sound : sounds) {
      float[] wave = Golden.wave(Golden.pcm("front_end/" + sound + ".s16"));
      float[] expected = Golden.floats("front_end/" + sound + ".f32");
      float[] got = new float[expected.length];
      int frames = new LogMel().feed(wave, 0, wave.length, got);
      assertEquals(sound, wave.length / LogMel.HOP, frames);
      assertEquals(sound, expected.length, frames * LogMel.BINS);
      assertNear(sound, expected, got);
    }
  }

  @Test
  public void equalsPythonForOtherFrontEnds() throws Exception {
    String[] names = Golden.properties("front_ends/index.properties").getProperty("names").split(",");
    assertEquals(4, names.length);
    for (String name : names) {
      FrontEnd spec = FrontEnd.ofFacts(Golden.text("front_ends/" + name + ".json"));
      float[] wave = Golden.wave(Golden.pcm("front_ends/" + name + ".s16"));
      float[] expected = Golden.floats("front_ends/" + name + ".f32");
      float[] got = new float[expected.length];
      int frames = new LogMel(spec).feed(wave, 0, wave.length, got);
      assertEquals(name, wave.length / spec.hop, frames);
      assertEquals(name, expected.length, frames * spec.bins);
      double loudest = 0;
      for (float value : expected) {
        loudest = Math.max(loudest, Math.exp(value));
      }
      for (int i = 0; i < expected.length; i++) {
        double want = Math.exp(expected[i]);
        assertEquals(name + " at " + i, want, Math.exp(got[i]), 2e-6 * loudest + 2e-4 * want);
      }
    }
  }

  @Test
  public void factsWithoutAFrontEndMeanThePapers() {
    assertEquals(FrontEnd.PAPERS, FrontEnd.ofFacts(""));
    assertEquals(FrontEnd.PAPERS, FrontEnd.ofFacts("{\"front_end\": "));
    assertEquals(FrontEnd.PAPERS, FrontEnd.ofFacts("{\"mode\": \"window\"}"));
  }

  @Test
  public void refusesImpossibleFrontEnds() {
    String good =
        "{\"front_end\": {\"sample_rate\": 16000, \"window_length\": 400, \"hop_length\": 160,"
            + " \"fft_length\": 512, \"mel_bins\": 64, \"mel_low_hz\": 60.0, \"mel_high_hz\":"
            + " 7800.0, \"log_offset\": 0.01}}";
    assertEquals(64, FrontEnd.ofFacts(good).bins);
    String[][] edits = {
      {"160", "400"},
      {"512", "500"},
      {"7800.0", "8001.0"},
      {"\"mel_bins\": 64", "\"mel_bins\": 6.4"},
      {"\"sample_rate\": 16000", "\"sample_rate\": \"16000\""},
      {"\"fft_length\"", "\"fft\""},
      {"{\"front_end\": {", "{\"front_end\": 3, \"x\": {"},
    };
    for (String[] edit : edits) {
      String bad = good.replace(edit[0], edit[1]);
      assertThrows(bad, IllegalArgumentException.class, () -> FrontEnd.ofFacts(bad));
    }
  }

  /** The tolerance of the front end in TFLite files; see tests/export/test_front_end.py. */
  private static void assertNear(String sound, float[] expected, float[] got) {
    for (int i = 0; i < expected.length; i++) {
      double want = Math.exp(expected[i]);
      assertEquals(sound + " at " + i, want, Math.exp(got[i]), 5e-5 + 1e-5 * want);
    }
  }

  @Test
  public void framesDoNotDependOnTheBlockSizes() {
    Random random = new Random(1);
    float[] wave = noise(random, SAMPLES);
    float[] whole = frames(new LogMel(), wave, SAMPLES, random);
    assertEquals(SAMPLES / LogMel.HOP * LogMel.BINS, whole.length);
    for (int longest : new int[] {1, 7, 159, 160, 161, 400, 1_280, 4_000}) {
      assertArrayEquals(whole, frames(new LogMel(), wave, longest, random), 0f);
    }
  }

  @Test
  public void aRecordingIsAStreamWithoutTheFramesThatBeginBeforeIt() {
    float[] wave = noise(new Random(4), 16_000);
    float[] stream = frames(new LogMel(), wave, 1_000, new Random(4));
    int shift = 80; // the stream's frame 2 begins with sample 80
    float[] whole = LogMel.of(Arrays.copyOfRange(wave, shift, wave.length));
    assertArrayEquals(Arrays.copyOfRange(stream, 2 * LogMel.BINS, stream.length), whole, 0f);
    for (int frames = 1; frames < 5; frames++) {
      int samples = LogMel.samples(frames);
      assertEquals(frames * LogMel.BINS, LogMel.of(new float[samples]).length);
      assertEquals((frames - 1) * LogMel.BINS, LogMel.of(new float[samples - 1]).length);
    }
    assertEquals(0, LogMel.of(new float[0]).length);
  }

  @Test
  public void resetRestoresTheInitialState() {
    Random random = new Random(2);
    float[] wave = noise(random, 1_000);
    LogMel logMel = new LogMel();
    float[] first = frames(logMel, wave, 333, random);
    assertTrue(Math.abs(first[0] - Math.log(0.01)) > 0.1);
    logMel.reset();
    assertArrayEquals(first, frames(logMel, wave, 1_000, random), 0f);
  }

  @Test
  public void refusesTooSmallOutputsAndTakesNothing() {
    Random random = new Random(3);
    float[] wave = noise(random, 320);
    LogMel logMel = new LogMel();
    IllegalArgumentException error =
        assertThrows(
            IllegalArgumentException.class,
            () -> logMel.feed(wave, 0, 320, new float[2 * LogMel.BINS - 1]));
    assertEquals("2 frames do not fit into 127 numbers: expected 128", error.getMessage());
    assertArrayEquals(
        frames(new LogMel(), wave, 320, random), frames(logMel, wave, 320, random), 0f);
  }

  @Test
  public void refusesInvalidRanges() {
    float[] out = new float[640];
    LogMel logMel = new LogMel();
    assertThrows(IndexOutOfBoundsException.class, () -> logMel.feed(new float[9], 0, 10, out));
    assertThrows(IndexOutOfBoundsException.class, () -> logMel.feed(new float[9], -1, 5, out));
    assertThrows(IndexOutOfBoundsException.class, () -> logMel.feed(new float[9], 0, -1, out));
  }

  static float[] noise(Random random, int samples) {
    float[] wave = new float[samples];
    for (int i = 0; i < samples; i++) {
      wave[i] = 2 * random.nextFloat() - 1;
    }
    return wave;
  }

  /** All frames of a stream given in blocks of 0 to {@code longest} samples. */
  private static float[] frames(LogMel logMel, float[] wave, int longest, Random random) {
    float[] all = new float[0];
    for (int next = 0; next < wave.length; ) {
      int count = Math.min(wave.length - next, random.nextInt(longest + 1));
      float[] out = new float[(count / LogMel.HOP + 1) * LogMel.BINS];
      int frames = logMel.feed(wave, next, count, out);
      int length = all.length;
      all = Arrays.copyOf(all, length + frames * LogMel.BINS);
      System.arraycopy(out, 0, all, length, frames * LogMel.BINS);
      next += count;
    }
    return all;
  }
}
