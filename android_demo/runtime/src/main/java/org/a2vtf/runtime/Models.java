package org.a2vtf.runtime;

import java.nio.ByteBuffer;
import org.a2vtf.core.Encoder;

/**
 * Opens streaming files of {@code export_tflite}: PCM input, any hop, internal or external state.
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
      return encoder.describe() + Metadata.summary(facts(model));
    } finally {
      encoder.close();
    }
  }

  /**
   * The metadata that {@code export_tflite} wrote (encoder, task, window, hop, front end), as JSON;
   * empty if there is none.
   */
  public static String facts(byte[] model) {
    return Metadata.facts(model);
  }
}
