package org.a2vtf.runtime;

import java.io.Closeable;
import java.util.Arrays;
import org.a2vtf.core.Encoder;
import org.a2vtf.core.Recordings;
import org.a2vtf.runtime.Models.ModelException;

/**
 * A file of {@code export_tflite --part=gap}: how far apart in time two windows are, by how they
 * sound (patent paragraphs 140-145).
 *
 * <p>A window file takes the PCM of both. A streaming file takes their embeddings, which its {@link
 * #encoder} gives while it listens. {@link #secondsBetween} does either.
 */
public final class GapEstimator implements Closeable {
  private final Tflite file;
  private final Head head;
  private final TfliteEncoder encoder; // null if the head takes PCM
  private final int size;

  private GapEstimator(Tflite file) throws ModelException {
    this.file = file;
    head = new Head(file, "gap", Arrays.asList("first", "second"), "seconds");
    size = Tflite.row(head.input(0), "first");
    int other = Tflite.row(head.input(1), "second");
    int results = Tflite.row(head.output(), "seconds");
    TfliteEncoder found =
        file.signatures().contains("embed") ? new TfliteEncoder(file, "embed", "embedding") : null;
    encoder = found != null && found.embeddingDim() == size ? found : null;
    boolean onPcm = encoder == null && (found == null || found.hopSamples() == size);
    if (other != size || results != 1 || (encoder == null && !onPcm)) {
      throw new ModelException(
          "The model takes " + size + " and " + other + " numbers, and gives " + results
              + ": expected two windows or two embeddings, and one number.");
    }
    seconds(new float[size], new float[size]); // what cannot run shows now
  }

  /**
   * Opens a file.
   *
   * @param model the content of the file
   * @throws ModelException if it does not estimate gaps from PCM, or does not run here
   */
  public static GapEstimator open(byte[] model, Models.Options options) throws ModelException {
    Models.checkRate(model, options.sampleRate);
    return Tflite.open(
        model,
        options,
        new Tflite.Loader<GapEstimator>() {
          @Override
          public GapEstimator load(Tflite file) throws ModelException {
            return new GapEstimator(file);
          }
        });
  }

  /** The encoder of its embeddings; null if it takes PCM. It is closed with this object. */
  public Encoder encoder() {
    return encoder;
  }

  /** Numbers in each input: those of an embedding, or the samples of a window. */
  public int size() {
    return size;
  }

  /**
   * Estimates the distance in time.
   *
   * @param first {@link #size} numbers
   * @param second {@link #size} numbers
   * @return seconds
   */
  public float seconds(float[] first, float[] second) {
    if (first.length != size || second.length != size) {
      throw new IllegalArgumentException(
          first.length + " and " + second.length + " numbers: expected " + size);
    }
    float[] result = new float[1];
    head.run(result, first, second);
    return result[0];
  }

  /**
   * Estimates the distance in time of two windows of a recording.
   *
   * @param recording PCM in [-1, 1]
   * @param firstEnd the sample after the first window
   * @param secondEnd the sample after the second window
   * @throws IndexOutOfBoundsException if a window is not within the recording
   */
  public float secondsBetween(float[] recording, int firstEnd, int secondEnd) {
    if (encoder != null) {
      float[][] embeddings = Recordings.embedAt(encoder, recording, firstEnd, secondEnd);
      return seconds(embeddings[0], embeddings[1]);
    }
    return seconds(
        Windows.endingAt(recording, firstEnd, size), Windows.endingAt(recording, secondEnd, size));
  }

  /** Frees the model, which cannot be used any more. */
  @Override
  public void close() {
    synchronized (file) {
      file.close();
    }
  }
}
