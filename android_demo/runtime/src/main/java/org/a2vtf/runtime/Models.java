package org.a2vtf.runtime;

import java.nio.ByteBuffer;
import org.a2vtf.core.Encoder;
import org.a2vtf.core.FrontEnd;

/**
 * Opens files of {@code export_tflite} that take PCM. {@link #open} is for streaming encoders, of
 * any hop, with internal or external state; {@link Classifier}, {@link GapEstimator} and {@link
 * Reconstructor} open other parts of a model.
 *
 * <pre>{@code
 * try (Encoder encoder = Models.open(bytes, new Models.Options())) {
 *   float[] embedding = new float[encoder.embeddingDim()];
 *   encoder.embed(pcm, embedding); // encoder.hopSamples() numbers in [-1, 1]
 * }
 * }</pre>
 */
public final class Models {
  private Models() {}

  /** Runtime options. */
  public static final class Options {
    /** Number of threads. */
    public int threads = 1;

    /** Whether to use XNNPACK; otherwise TFLite's builtin kernels, which round differently. */
    public boolean xnnpack = true;

    /** The sample rate of the sound, in Hz; a model for another one is refused. */
    public int sampleRate = FrontEnd.PAPERS.sampleRate;
  }

  /** A file that cannot be used; the message tells the user why. */
  public static final class ModelException extends Exception {
    ModelException(String message) {
      super(message);
    }

    ModelException(String message, Throwable cause) {
      super(message, cause);
    }
  }

  /**
   * Opens a model.
   *
   * @param model the content of the file
   * @throws ModelException if it is not a streaming model with PCM input of the sample rate, or
   *     does not run here
   */
  public static Encoder open(byte[] model, Options options) throws ModelException {
    TfliteEncoder encoder = TfliteEncoder.open(model, options);
    try {
      checkRate(model, options.sampleRate);
    } catch (ModelException e) {
      encoder.close();
      throw e;
    }
    return encoder;
  }

  /** Opens a model: the bytes between the buffer's position and limit, which do not change. */
  public static Encoder open(ByteBuffer model, Options options) throws ModelException {
    byte[] content = new byte[model.remaining()];
    model.duplicate().get(content);
    return open(content, options);
  }

  /**
   * Describes a model in one line, for instance "128 numbers every 80 ms (1280 samples), state
   * inside; small encoder, cbow, int8".
   *
   * @throws ModelException as {@link #open(byte[], Options)}
   */
  public static String describe(byte[] model) throws ModelException {
    TfliteEncoder encoder = TfliteEncoder.open(model, new Options());
    try {
      return encoder.describe() + Metadata.summary(Metadata.read(model));
    } finally {
      encoder.close();
    }
  }

  static void checkRate(byte[] model, int expected) throws ModelException {
    int rate = frontEnd(model).sampleRate;
    if (rate != expected) {
      throw new ModelException("takes sound at " + rate + " Hz: expected " + expected + " Hz");
    }
  }

  /**
   * The front end of a model: the sample rate of its sound, and what makes its frames.
   *
   * @throws ModelException if the metadata has none that is possible
   */
  public static FrontEnd frontEnd(byte[] model) throws ModelException {
    try {
      return FrontEnd.ofFacts(facts(model));
    } catch (IllegalArgumentException e) {
      throw new ModelException("has metadata of no front end: " + e.getMessage(), e);
    }
  }

  /**
   * What a file computes: "encoder", "classifier", "gap" or "reconstruct", or what a later version
   * of {@code export_tflite} calls it.
   */
  public static String part(byte[] model) {
    String part = Metadata.text(Metadata.read(model), "part");
    return part.isEmpty() ? "encoder" : part;
  }

  /**
   * The metadata that {@code export_tflite} wrote (encoder, task, window, hop, front end), as JSON;
   * empty if there is none.
   */
  public static String facts(byte[] model) {
    return Metadata.facts(model);
  }
}
