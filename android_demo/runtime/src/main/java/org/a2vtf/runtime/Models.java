package org.a2vtf.runtime;

import java.nio.ByteBuffer;
import org.a2vtf.core.Encoder;

/**
 * Opens the streaming files of {@code export_tflite}: any hop, state inside or outside, PCM in.
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

  /** How a model runs. */
  public static final class Options {
    /** Threads of an inference. */
    public int threads = 1;

    /** Whether XNNPACK computes what it can; else TFLite's own kernels, which round otherwise. */
    public boolean xnnpack = true;
  }

  /** A file that cannot be used; the message says why, in words for the person who chose it. */
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
   * @throws ModelException if it is no streaming model that takes PCM, or does not run here
   */
  public static Encoder open(byte[] model, Options options) throws ModelException {
    return TfliteEncoder.open(model, options);
  }

  /** Opens a model: the bytes between the buffer's position and limit, which stay as they are. */
  public static Encoder open(ByteBuffer model, Options options) throws ModelException {
    byte[] content = new byte[model.remaining()];
    model.duplicate().get(content);
    return open(content, options);
  }

  /**
   * Says in one line what a model is, for instance "128 numbers every 80 ms (1280 samples), state
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
   * What {@code export_tflite} wrote into a file about it (encoder, task, window, hop, front end):
   * JSON, empty if there is none.
   */
  public static String facts(byte[] model) {
    return Metadata.facts(model);
  }
}
