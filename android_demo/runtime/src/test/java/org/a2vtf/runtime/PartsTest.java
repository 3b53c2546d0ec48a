package org.a2vtf.runtime;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.a2vtf.core.LogMel;
import org.a2vtf.core.Recordings;
import org.a2vtf.runtime.Models.ModelException;
import org.junit.Test;

/** Classifiers, gaps and reconstructions are those that Python computes with the same files. */
public class PartsTest {
  // Builtin kernels dequantise by a formula that compilers round differently in the last digits.
  private static final float SAME_INTEGER = 1e-6f; // of the largest value; a step is 1 / 255
  private static final int START = 7_003; // PART_START of export_golden.py

  private static Models.Options options(String kernels) {
    Models.Options options = new Models.Options();
    options.xnnpack = kernels.equals("xnnpack");
    return options;
  }

  private static void assertSame(String kernels, float[] expected, float[] got) {
    assertEquals(expected.length, got.length);
    float largest = 0;
    for (float value : expected) {
      largest = Math.max(largest, Math.abs(value));
    }
    float tolerance = kernels.equals("xnnpack") ? 0 : SAME_INTEGER * largest;
    for (int i = 0; i < got.length; i++) {
      assertEquals(kernels + " at " + i, expected[i], got[i], tolerance);
    }
  }

  private static float[] joined(float[][] rows) {
    float[] all = new float[rows.length * rows[0].length];
    for (int i = 0; i < rows.length; i++) {
      System.arraycopy(rows[i], 0, all, i * rows[i].length, rows[i].length);
    }
    return all;
  }

  // Reconstruction ----------------------------------------------------------------------------

  private static Reconstructor reconstructor(String mode, String kernels) throws Exception {
    return Reconstructor.open(
        Golden.bytes("reconstruct_" + mode + ".tflite"), options(kernels));
  }

  @Test
  public void reconstructionsArePythons() throws Exception {
    for (String mode : new String[] {"window", "streaming"}) {
      for (String kernels : new String[] {"xnnpack", "builtin"}) {
        Reconstructor model = reconstructor(mode, kernels);
        float[] expected = Golden.floats("reconstruct_" + mode + "_" + kernels + ".f32");
        for (int run = 0; run < 2; run++) { // the first leaves no state
          float[] got = joined(model.reconstructAt(Golden.pcm(), START));
          assertSame(kernels, expected, got);
        }
        Set<Float> values = new HashSet<Float>();
        for (float value : expected) {
          values.add(value);
        }
        assertTrue(values.size() + " values", values.size() > 50);
        model.close();
      }
    }
  }

  @Test
  public void saysWhichSlicesItPredictsFromWhich() throws Exception {
    for (String mode : new String[] {"window", "streaming"}) {
      Reconstructor model = reconstructor(mode, "xnnpack");
      assertEquals("cbow", model.task());
      assertArrayEquals(new int[] {0, 68}, model.inputFrames());
      assertArrayEquals(new int[] {34}, model.predictedFrames());
      assertEquals(32, model.sliceFrames());
      assertEquals(LogMel.BINS, model.bins());
      assertEquals(LogMel.samples(100), model.inputSamples());
      model.close();
    }
  }

  @Test
  public void theStreamingFileGivesTheEmbeddingsThatItTakes() throws Exception {
    Reconstructor model = reconstructor("streaming", "xnnpack");
    assertEquals(320, model.encoder().hopSamples());
    int end = START + LogMel.samples(32);
    float[][] embeddings =
        Recordings.embedAt(model.encoder(), Golden.pcm(), end, end + 68 * LogMel.HOP);
    float[] expected = Golden.floats("reconstruct_streaming_xnnpack.f32");
    assertArrayEquals(expected, model.reconstruct(embeddings)[0], 0f);
    assertThrows(IllegalArgumentException.class, () -> model.reconstruct(embeddings[0]));
    assertThrows(
        IllegalArgumentException.class, () -> model.reconstruct(embeddings[0], new float[3]));
    model.close();
    assertThrows(IllegalStateException.class, () -> model.reconstruct(embeddings));
  }

  @Test
  public void theHiddenSliceIsNotUsed() throws Exception {
    Reconstructor model = reconstructor("window", "xnnpack");
    assertNull(model.encoder());
    float[] pcm = Golden.pcm();
    float[][] expected = model.reconstructAt(pcm, START);
    int hidden = START + 34 * LogMel.HOP;
    Arrays.fill(pcm, hidden, hidden + LogMel.samples(32), 0.3f);
    assertArrayEquals(expected[0], model.reconstructAt(pcm, START)[0], 0f);
    pcm[START + 2_000] += 0.5f;
    assertTrue(!Arrays.equals(expected[0], model.reconstructAt(pcm, START)[0]));
    assertThrows(IllegalArgumentException.class, () -> model.reconstruct(new float[16]));
    model.close();
  }

  @Test
  public void placesOutsideTheRecordingAreRefused() throws Exception {
    float[] pcm = Golden.pcm();
    for (String mode : new String[] {"window", "streaming"}) {
      Reconstructor model = reconstructor(mode, "xnnpack");
      int last = pcm.length - model.inputSamples();
      assertNotNull(model.reconstructAt(pcm, last));
      assertNotNull(model.reconstructAt(pcm, 0));
      for (int start : new int[] {-1, last + 1}) {
        assertThrows(
            IndexOutOfBoundsException.class, () -> model.reconstructAt(pcm, start));
      }
      model.close();
    }
  }

  // Gap ---------------------------------------------------------------------------------------

  private static final int WINDOW = LogMel.samples(32);
  private static final int FIRST_END = START + WINDOW;
  private static final int SECOND_END = 21_000 + WINDOW; // PART_SECOND of export_golden.py

  private static GapEstimator gap(String mode, String kernels) throws Exception {
    return GapEstimator.open(Golden.bytes("gap_" + mode + ".tflite"), options(kernels));
  }

  @Test
  public void gapsArePythons() throws Exception {
    for (String mode : new String[] {"window", "streaming"}) {
      for (String kernels : new String[] {"xnnpack", "builtin"}) {
        GapEstimator model = gap(mode, kernels);
        float[] expected = Golden.floats("gap_" + mode + "_" + kernels + ".f32");
        assertEquals(1, expected.length);
        assertEquals(mode.equals("window") ? WINDOW : 16, model.size());
        for (int run = 0; run < 2; run++) {
          float got = model.secondsBetween(Golden.pcm(), FIRST_END, SECOND_END);
          assertSame(kernels, expected, new float[] {got});
        }
        model.close();
      }
    }
  }

  @Test
  public void embeddingsThatWereKeptGiveTheSameGap() throws Exception {
    GapEstimator model = gap("streaming", "xnnpack");
    float[][] kept = Recordings.embedAt(model.encoder(), Golden.pcm(), FIRST_END, SECOND_END);
    float seconds = model.secondsBetween(Golden.pcm(), FIRST_END, SECOND_END);
    assertEquals(seconds, model.seconds(kept[0], kept[1]), 0f);
    assertEquals(seconds, model.seconds(kept[1], kept[0]), 0f); // the mean of both orders
    assertThrows(
        IllegalArgumentException.class, () -> model.seconds(kept[0], new float[WINDOW]));
    model.close();
    assertThrows(IllegalStateException.class, () -> model.seconds(kept[0], kept[1]));
  }

  @Test
  public void gapsOfWindowsOutsideTheRecordingAreRefused() throws Exception {
    float[] pcm = Golden.pcm();
    GapEstimator model = gap("window", "xnnpack");
    assertNull(model.encoder());
    for (int end : new int[] {WINDOW - 1, pcm.length + 1}) {
      assertThrows(
          IndexOutOfBoundsException.class, () -> model.secondsBetween(pcm, end, pcm.length));
    }
    model.close();
  }

  // Classifier --------------------------------------------------------------------------------

  private static Classifier classifier(String mode, String kernels) throws Exception {
    return Classifier.open(
        Golden.bytes("classifier_" + mode + ".tflite"), options(kernels));
  }

  @Test
  public void scoresArePythons() throws Exception {
    for (String mode : new String[] {"window", "streaming"}) {
      for (String kernels : new String[] {"xnnpack", "builtin"}) {
        Classifier model = classifier(mode, kernels);
        assertEquals(Arrays.asList("kettle", "door", "狗"), model.labels());
        assertEquals(mode.equals("streaming"), model.streams());
        float[] expected = Golden.floats("classifier_" + mode + "_" + kernels + ".f32");
        for (int run = 0; run < 2; run++) {
          float[] got = model.classifyAt(Golden.pcm(), FIRST_END);
          assertSame(kernels, expected, got);
          float sum = got[0] + got[1] + got[2];
          assertEquals(1, sum, 1e-6);
        }
        model.close();
      }
    }
  }

  @Test
  public void aStreamIsClassifiedHopByHop() throws Exception {
    Classifier model = classifier("streaming", "xnnpack");
    float[] pcm = Golden.pcm();
    float[] scores = new float[3];
    int hop = model.samples();
    for (int run = 0; run < 2; run++) {
      for (int end = FIRST_END % hop + hop; end <= FIRST_END; end += hop) {
        model.classify(Arrays.copyOfRange(pcm, end - hop, end), scores);
      }
      assertArrayEquals(model.classifyAt(pcm, FIRST_END), scores, 0f); // resets
      model.classify(new float[hop], scores);
      model.reset();
    }
    model.close();
    model.close();
    assertThrows(IllegalStateException.class, () -> model.classify(new float[hop], scores));
  }

  @Test
  public void classifiersWithoutALabelForEachScoreAreRefused() throws Exception {
    byte[] file =
        renamed(
            Golden.bytes("classifier_window.tflite"), "kettle\", \"door", "kettle or door");
    assertRefused("3 scores and", () -> Classifier.open(file, new Models.Options()));
  }

  // Files -------------------------------------------------------------------------------------

  @Test
  public void saysWhatAFileComputes() throws Exception {
    assertEquals("encoder", Models.part(Golden.bytes("internal.tflite")));
    assertEquals("encoder", Models.part(new byte[0]));
    for (String part : new String[] {"classifier", "gap", "reconstruct"}) {
      assertEquals(part, Models.part(Golden.bytes(part + "_window.tflite")));
      assertEquals(part, Models.part(Golden.bytes(part + "_streaming.tflite")));
    }
  }

  @Test
  public void otherFilesAreRefused() throws Exception {
    Models.Options options = new Models.Options();
    byte[] encoder = Golden.bytes("internal.tflite");
    assertRefused("expected \"reconstruct\"", () -> Reconstructor.open(encoder, options));
    assertRefused("expected \"gap\"", () -> GapEstimator.open(encoder, options));
    assertRefused("expected \"classify\"", () -> Classifier.open(encoder, options));
    assertRefused("not a TFLite model", () -> Reconstructor.open(new byte[9], options));
    byte[] half = Arrays.copyOf(Golden.bytes("reconstruct_window.tflite"), 50_000);
    assertRefused("damaged", () -> Reconstructor.open(half, options));
  }

  @Test
  public void filesWhoseMetadataDoNotFitAreRefused() throws Exception {
    byte[] file = Golden.bytes("reconstruct_window.tflite");
    Models.Options options = new Models.Options();
    assertRefused(
        "no input_frames",
        () -> Reconstructor.open(renamed(file, "\"input_frames\"", "\"inputs______\""), options));
    assertRefused(
        "takes 16240 numbers: expected 15920",
        () -> Reconstructor.open(renamed(file, "[0, 68]", "[0, 66]"), options));
    assertRefused(
        "no predicted_frames",
        () -> Reconstructor.open(renamed(file, "[34]", "[{}]"), options));
  }

  @Test
  public void filesForAnotherSampleRateAreRefused() throws Exception {
    Models.Options options = new Models.Options();
    String because = "takes sound at 48000 Hz: expected 16000 Hz";
    for (String part : new String[] {"classifier", "gap", "reconstruct"}) {
      byte[] file =
          renamed(
              Golden.bytes(part + "_streaming.tflite"),
              "\"sample_rate\": 16000",
              "\"sample_rate\": 48000");
      if (part.equals("classifier")) {
        assertRefused(because, () -> Classifier.open(file, options));
      } else if (part.equals("gap")) {
        assertRefused(because, () -> GapEstimator.open(file, options));
      } else {
        assertRefused(because, () -> Reconstructor.open(file, options));
      }
    }
  }

  /** The model with a text replaced by another one of the same length. */
  private static byte[] renamed(byte[] model, String from, String to) throws Exception {
    String text = new String(model, "ISO-8859-1");
    assertTrue(from, text.contains(from) && from.length() == to.length());
    return text.replace(from, to).getBytes("ISO-8859-1");
  }

  private static void assertRefused(
      String because, org.junit.function.ThrowingRunnable opening) {
    ModelException refusal = assertThrows(ModelException.class, opening);
    assertTrue(refusal.getMessage(), refusal.getMessage().contains(because));
  }
}
