package org.a2vtf.runtime;

import java.nio.ByteBuffer;
import org.a2vtf.core.Encoder;

/**
 * Opens files of {@code export_tflite} that take PCM. {@link #open} is for streaming encoders, of
 * any hop, with internal or external state; {@link Classifier}, {@link GapEstimator} and {@link
 * Reconstructor} open other parts of a model.
 *
 * <pre>{@code
 * try (Encoder encoder = Models.open(bytes, new Models.Options())) {
 *   float[] embedding = new float[encoder.embeddingDim()];
 *   encoder.embed(pcm, embedding); // encoder.hopSamples() numbers in [-1, 1], at 16 kHz
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
   * @throws ModelException if it is not a streaming model with PCM input, or does not run here
   */
  public static Encoder open(byte[] model, Options options) throws ModelException {
    return TfliteEncoder.open(model, options);
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
