package org.a2vtf.runtime;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.TreeSet;
import org.a2vtf.core.Encoder;
import org.a2vtf.runtime.Models.ModelException;
import org.junit.Test;
import org.junit.function.ThrowingRunnable;

/** The app's embeddings are bit-exact with Python's. */
public class ModelsTest {
  private static final float EXACT = 0f;

  // TFLite's builtin kernels dequantise the embedding by a formula that compilers round differently
  // in the last digits. A quantisation step is thousands of times larger.
  private static final float SAME_INTEGER = 1e-6f;

  private static Models.Options options(int threads, boolean xnnpack) {
    Models.Options options = new Models.Options();
    options.threads = threads;
    options.xnnpack = xnnpack;
    return options;
  }

  /** The embeddings of a stream, one per hop, from the current state on. */
  static float[][] embed(Encoder encoder, float[] pcm) {
    int hop = encoder.hopSamples();
    float[][] embeddings = new float[pcm.length / hop][encoder.embeddingDim()];
    for (int i = 0; i < embeddings.length; i++) {
      encoder.embed(Arrays.copyOfRange(pcm, i * hop, (i + 1) * hop), embeddings[i]);
    }
    return embeddings;
  }

  private static void assertSame(float[][] expected, float[][] actual, float tolerance) {
    assertEquals(expected.length, actual.length);
    for (int i = 0; i < expected.length; i++) {
      assertArrayEquals("embedding " + i, expected[i], actual[i], tolerance);
    }
  }

  private static void assertSame(float[][] expected, float[][] actual) {
    assertSame(expected, actual, EXACT);
  }

  private static void assertSameAsPython(String model, String kernels, int threads)
      throws Exception {
    boolean xnnpack = kernels.equals("xnnpack");
    Encoder encoder = Models.open(Golden.bytes(model), options(threads, xnnpack));
    try {
      assertEquals(Golden.number("hop_samples"), encoder.hopSamples());
      assertEquals(Golden.number("embedding_dim"), encoder.embeddingDim());
      float tolerance = xnnpack ? EXACT : SAME_INTEGER;
      assertSame(Golden.embeddings(kernels), embed(encoder, Golden.pcm()), tolerance);
    } finally {
      encoder.close();
    }
  }

  @Test
  public void internalStateOnXnnpackIsBitExactWithPython() throws Exception {
    assertSameAsPython("internal.tflite", "xnnpack", 1);
  }

  @Test
  public void internalStateOnBuiltinKernelsGivesPythonsIntegers() throws Exception {
    assertSameAsPython("internal.tflite", "builtin", 1);
  }

  @Test
  public void externalStateOnXnnpackIsBitExactWithPython() throws Exception {
    assertSameAsPython("external.tflite", "xnnpack", 1);
  }

  @Test
  public void externalStateOnBuiltinKernelsGivesPythonsIntegers() throws Exception {
    assertSameAsPython("external.tflite", "builtin", 1);
  }

  @Test
  public void threadsDoNotChangeTheEmbeddings() throws Exception {
    assertSameAsPython("internal.tflite", "xnnpack", 4);
    assertSameAsPython("internal.tflite", "builtin", 2);
  }

  @Test
  public void theToleranceIsFarBelowAStepOfAnInt8Embedding() throws Exception {
    TreeSet<Float> values = new TreeSet<Float>();
    for (float[] embedding : Golden.embeddings("builtin")) {
      for (float value : embedding) {
        values.add(value);
      }
    }
    assertTrue(values.size() + " values", values.size() <= 256);
    for (Float value : values.headSet(values.last())) {
      assertTrue(values.higher(value) - value > 1000 * SAME_INTEGER);
    }
  }

  @Test
  public void goldenEmbeddingsDependOnKernelsAndHops() throws Exception {
    float[][] xnnpack = Golden.embeddings("xnnpack");
    assertFalse(Arrays.deepEquals(xnnpack, Golden.embeddings("builtin")));
    assertFalse(Arrays.equals(xnnpack[0], xnnpack[xnnpack.length - 1]));
  }

  @Test
  public void resetClearsTheState() throws Exception {
    for (String model : new String[] {"internal.tflite", "external.tflite"}) {
      Encoder encoder = Models.open(Golden.bytes(model), new Models.Options());
      float[] pcm = Golden.pcm();
      float[][] first = embed(encoder, pcm);
      assertFalse("state", Arrays.deepEquals(first, embed(encoder, pcm)));
      encoder.reset();
      assertSame(first, embed(encoder, pcm));
      encoder.close();
    }
  }

  @Test
  public void twoEncodersOfAModelDoNotShareState() throws Exception {
    byte[] model = Golden.bytes("internal.tflite");
    Encoder one = Models.open(model, new Models.Options());
    Encoder other = Models.open(model, new Models.Options());
    embed(one, Golden.pcm());
    assertSame(Golden.embeddings("xnnpack"), embed(other, Golden.pcm()));
    one.close();
    other.close();
  }

  @Test
  public void aBufferIsReadBetweenPositionAndLimit() throws Exception {
    byte[] model = Golden.bytes("internal.tflite");
    ByteBuffer buffer = ByteBuffer.allocateDirect(model.length + 20);
    buffer.position(13);
    buffer.put(model);
    buffer.flip();
    buffer.position(13);
    Encoder encoder = Models.open(buffer, new Models.Options());
    assertEquals(13, buffer.position());
    assertSame(Golden.embeddings("xnnpack"), embed(encoder, Golden.pcm()));
    encoder.close();
  }

  @Test
  public void describesAModel() throws Exception {
    String internal = Models.describe(Golden.bytes("internal.tflite"));
    assertEquals(
        "128 numbers every 80 ms (1280 samples), state inside; untrained encoder, int8", internal);
    String external = Models.describe(Golden.bytes("external.tflite"));
    assertTrue(external, external.contains("state outside"));
  }

  @Test
  public void readsTheExportedFacts() throws Exception {
    String facts = Models.facts(Golden.bytes("internal.tflite"));
    assertTrue(facts, facts.startsWith("{") && facts.endsWith("}"));
    assertTrue(facts, facts.contains("\"window_ms\": 975.0"));
    assertEquals("", Models.facts("no model at all, but some text".getBytes("US-ASCII")));
    assertEquals("", Models.facts(new byte[0]));
  }

  @Test
  public void refusesSoundOfAnotherRate() throws Exception {
    assertEquals(16_000, Models.frontEnd(Golden.bytes("internal.tflite")).sampleRate);
    byte[] model = Golden.bytes("internal.tflite");
    String text = new String(model, "ISO-8859-1");
    int at = text.indexOf("\"sample_rate\": 16000") + "\"sample_rate\": ".length();
    byte[] other = model.clone();
    System.arraycopy("48000".getBytes("US-ASCII"), 0, other, at, 5);
    Models.Options options = options(1, true);
    ModelException error = assertThrows(ModelException.class, () -> Models.open(other, options));
    assertEquals("takes sound at 48000 Hz: expected 16000 Hz", error.getMessage());
    options.sampleRate = 48_000;
    try (Encoder encoder = Models.open(other, options)) {
      assertEquals(128, encoder.embeddingDim());
    }
  }

  private static void assertRefused(final byte[] model, String because) {
    ModelException refusal =
        assertThrows(
            ModelException.class,
            new ThrowingRunnable() {
              @Override
              public void run() throws Throwable {
                Models.open(model, new Models.Options());
              }
            });
    assertTrue(refusal.getMessage(), refusal.getMessage().contains(because));
  }

  @Test
  public void otherModelsAreRefused() throws Exception {
    assertRefused(new byte[0], "not a TFLite model");
    assertRefused("PK, some other file entirely".getBytes("US-ASCII"), "not a TFLite model");
    assertRefused(Golden.bytes("window.tflite"), "window model");
    assertRefused(Golden.bytes("log_mel.tflite"), "log-mel");
  }

  @Test
  public void aModelWithoutTheSignatureIsRefused() throws Exception {
    byte[] model = renamed(Golden.bytes("internal.tflite"), "embed\0", "other\0");
    assertRefused(model, "expected \"embed\"");
  }

  @Test
  public void aModelWithOtherInputsIsRefused() throws Exception {
    assertRefused(renamed(Golden.bytes("internal.tflite"), "\3\0\0\0pcm\0", "\3\0\0\0abc\0"), "abc");
  }

  /** The model with a name replaced by another one of the same length. */
  private static byte[] renamed(byte[] model, String from, String to) throws Exception {
    String text = new String(model, "ISO-8859-1");
    assertTrue(text.contains(from));
    return text.replace(from, to).getBytes("ISO-8859-1");
  }

  @Test
  public void aFileCutShortIsRefused() throws Exception {
    byte[] model = Golden.bytes("internal.tflite");
    for (int parts = 1; parts < 20; parts++) {
      assertRefused(Arrays.copyOf(model, model.length * parts / 20), "damaged");
    }
  }

  @Test
  public void damagedMetadataIsIgnored() throws Exception {
    byte[] model = Golden.bytes("internal.tflite");
    for (int i = 0; i < model.length; i += 7) {
      byte[] damaged = model.clone();
      Arrays.fill(damaged, i, Math.min(model.length, i + 4), (byte) 0x7f);
      Models.facts(damaged); // must not throw, whatever it finds
    }
  }

  @Test
  public void wrongLengthsAreRefused() throws Exception {
    final Encoder encoder =
        Models.open(Golden.bytes("internal.tflite"), new Models.Options());
    assertThrows(
        IllegalArgumentException.class,
        new ThrowingRunnable() {
          @Override
          public void run() {
            encoder.embed(new float[1279], new float[128]);
          }
        });
    assertThrows(
        IllegalArgumentException.class,
        new ThrowingRunnable() {
          @Override
          public void run() {
            encoder.embed(new float[1280], new float[64]);
          }
        });
    encoder.close();
  }

  @Test
  public void aClosedEncoderRefusesCallsAndClosesTwice() throws Exception {
    final Encoder encoder =
        Models.open(Golden.bytes("internal.tflite"), new Models.Options());
    encoder.close();
    encoder.close();
    assertThrows(
        IllegalStateException.class,
        new ThrowingRunnable() {
          @Override
          public void run() {
            encoder.embed(new float[1280], new float[128]);
          }
        });
    assertThrows(
        IllegalStateException.class,
        new ThrowingRunnable() {
          @Override
          public void run() {
            encoder.reset();
          }
        });
  }
}
