package org.a2vtf.runtime;

import java.io.Closeable;
import java.util.Collections;
import java.util.Map;
import org.a2vtf.core.Encoder;
import org.a2vtf.core.LogMel;
import org.a2vtf.core.Recordings;
import org.a2vtf.runtime.Models.ModelException;

/**
 * A file of {@code export_tflite --part=reconstruct}: the log-mel of slices, from slices around or
 * beside them, or from themselves, as its model was trained (patent paragraphs 129-139).
 *
 * <p>A window file takes PCM from the first to the last input slice. A streaming file takes the
 * embeddings of the input slices, which its {@link #encoder} gives while it listens. {@link
 * #reconstructAt} does either.
 */
public final class Reconstructor implements Closeable {
  private final Tflite file;
  private final Head head;
  private final TfliteEncoder encoder; // null if the head takes PCM
  private final String task;
  private final int[] inputs; // first frames, from that of the first input slice on
  private final int[] predicted;
  private final int inputSize;
  private final int frames;
  private final int bins;

  private Reconstructor(Tflite file, Map<String, Object> facts) throws ModelException {
    this.file = file;
    boolean onPcm = Tflite.inputs(file.signature("reconstruct")).contains("pcm");
    String input = onPcm ? "pcm" : "embeddings";
    head = new Head(file, "reconstruct", Collections.singletonList(input), "log_mel");
    int[] shape = Tflite.shape(head.output(), "log_mel", "[1, slices, frames, bins]", 4);
    frames = shape[2];
    bins = shape[3];
    if (bins != LogMel.BINS) {
      throw new ModelException(
          "The model predicts frames of " + bins + " values: expected " + LogMel.BINS + ".");
    }
    task = Metadata.text(facts, "head");
    inputs = starts(facts, "input_frames");
    predicted = starts(facts, "predicted_frames");
    if (predicted.length != shape[1] || inputs[0] != 0) {
      throw new ModelException(
          "The model's metadata names " + predicted.length + " predicted slices: expected "
              + shape[1] + ", and 0 as the first frame of its input.");
    }
    int expected;
    if (onPcm) {
      encoder = null;
      inputSize = Tflite.row(head.input(0), input);
      expected = LogMel.samples(inputs[inputs.length - 1] + frames);
    } else {
      encoder = new TfliteEncoder(file, "embed", "embedding");
      int[] given = Tflite.shape(head.input(0), input, "[1, slices, n]", 3);
      inputSize = given[1] * given[2];
      expected = inputs.length * encoder.embeddingDim();
    }
    if (inputSize != expected) {
      throw new ModelException(
          "The model takes " + inputSize + " numbers: expected " + expected + " for its "
              + inputs.length + " input slices.");
    }
    run(new float[inputSize]); // what cannot run shows now
  }

  private static int[] starts(Map<String, Object> facts, String name) throws ModelException {
    int[] starts = Metadata.ints(facts, name);
    if (starts == null || starts.length == 0) {
      throw new ModelException(
          "The model's metadata has no " + name + ": expected a file of export_tflite.");
    }
    return starts;
  }

  /**
   * Opens a file.
   *
   * @param model the content of the file
   * @throws ModelException if it does not reconstruct from PCM, or does not run here
   */
  public static Reconstructor open(byte[] model, Models.Options options) throws ModelException {
    final Map<String, Object> facts = Metadata.read(model);
    Models.checkRate(model, options.sampleRate);
    return Tflite.open(
        model,
        options,
        new Tflite.Loader<Reconstructor>() {
          @Override
          public Reconstructor load(Tflite file) throws ModelException {
            return new Reconstructor(file, facts);
          }
        });
  }

  /** The encoder of its embeddings; null if it takes PCM. It is closed with this object. */
  public Encoder encoder() {
    return encoder;
  }

  /** The task that it was trained on: "cbow", "skip_gram" or "autoencoder". */
  public String task() {
    return task;
  }

  /** First frames of the input slices, counted from that of the first one, which is 0. */
  public int[] inputFrames() {
    return inputs.clone();
  }

  /** First frames of the predicted slices, counted from that of the first input slice. */
  public int[] predictedFrames() {
    return predicted.clone();
  }

  /** Frames of a slice. */
  public int sliceFrames() {
    return frames;
  }

  /** Values of a frame. */
  public int bins() {
    return bins;
  }

  /** Samples from the first to the last input slice. */
  public int inputSamples() {
    return LogMel.samples(inputs[inputs.length - 1] + frames);
  }

  /**
   * Predicts from embeddings; only for files with an {@link #encoder}.
   *
   * @param embeddings those of the input slices
   * @return log-mel of each predicted slice, {@code [frames * bins]}
   */
  public float[][] reconstruct(float[]... embeddings) {
    int size = encoder == null ? 0 : encoder.embeddingDim();
    float[] joined = new float[inputSize];
    boolean good = encoder != null && embeddings.length == inputs.length;
    for (int i = 0; good && i < embeddings.length; i++) {
      good = embeddings[i].length == size;
      System.arraycopy(embeddings[i], 0, joined, i * size, good ? size : 0);
    }
    if (!good) {
      throw new IllegalArgumentException(
          embeddings.length + " embeddings: expected "
              + (encoder == null ? "PCM" : inputs.length + " of " + size + " numbers"));
    }
    return run(joined);
  }

  /**
   * Predicts from a recording.
   *
   * @param recording PCM in [-1, 1]
   * @param start sample where the first input slice starts
   * @return log-mel of each predicted slice, {@code [frames * bins]}
   * @throws IndexOutOfBoundsException if an input slice is not within the recording
   */
  public float[][] reconstructAt(float[] recording, int start) {
    int end = start + inputSamples();
    float[] window = Windows.endingAt(recording, end, inputSamples());
    if (encoder == null) {
      return run(window);
    }
    int[] ends = new int[inputs.length];
    for (int i = 0; i < ends.length; i++) {
      ends[i] = start + LogMel.samples(inputs[i] + frames);
    }
    return reconstruct(Recordings.embedAt(encoder, recording, ends));
  }

  private float[][] run(float[] input) {
    int size = frames * bins;
    float[] all = new float[predicted.length * size];
    head.run(all, input);
    float[][] slices = new float[predicted.length][size];
    for (int i = 0; i < slices.length; i++) {
      System.arraycopy(all, i * size, slices[i], 0, size);
    }
    return slices;
  }

  /** Frees the model, which cannot be used any more. */
  @Override
  public void close() {
    synchronized (file) {
      file.close();
    }
  }
}
