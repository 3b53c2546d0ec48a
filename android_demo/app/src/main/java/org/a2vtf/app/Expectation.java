package org.a2vtf.app;

import java.util.Arrays;
import org.a2vtf.core.Inversion;
import org.a2vtf.core.LogMel;
import org.a2vtf.runtime.Reconstructor;

/**
 * What a model expects at a place of a recording: the predicted slices take the place of the
 * recorded ones, which the model does not get.
 */
final class Expectation {
  private static final int FADE = LogMel.SAMPLE_RATE / 100;

  /** Samples where the predicted slices start. */
  final int[] starts;

  /** Samples of a slice. */
  final int samples;

  /** Log-mel of the predicted slices, {@code [frames * BINS]} each. */
  final float[][] slices;

  /** Whether the predicted slices are the model's input too. */
  final boolean fromItself;

  /** Mean squared error of each predicted slice. */
  final double[] errors;

  private final float[] recording;

  /**
   * Predicts.
   *
   * @param recording PCM in [-1, 1]
   * @param start sample of the {@linkplain #anchor marked} slice, within {@link #range}
   */
  Expectation(Reconstructor model, float[] recording, int start) {
    this.recording = recording;
    int first = start - LogMel.HOP * anchor(model);
    samples = LogMel.samples(model.sliceFrames());
    starts = model.predictedFrames();
    fromItself = Arrays.equals(starts, model.inputFrames());
    for (int i = 0; i < starts.length; i++) {
      starts[i] = first + LogMel.HOP * starts[i];
    }
    slices = model.reconstructAt(muted(recording, inputs(model, first)), first);
    errors = new double[starts.length];
    for (int i = 0; i < errors.length; i++) {
      errors[i] = error(LogMel.of(piece(starts[i])), slices[i]);
    }
  }

  /**
   * The frame of the marked slice, counted from the first input slice: the one that is predicted,
   * or, of several, the input.
   */
  private static int anchor(Reconstructor model) {
    int[] predicted = model.predictedFrames();
    return predicted.length == 1 ? predicted[0] : 0;
  }

  private static int[] inputs(Reconstructor model, int first) {
    int[] inputs = model.inputFrames();
    for (int i = 0; i < inputs.length; i++) {
      inputs[i] = first + LogMel.HOP * inputs[i];
    }
    return inputs;
  }

  /**
   * The first and the last sample where the marked slice may start; none if the first is greater.
   *
   * @param length samples of the recording
   */
  static int[] range(Reconstructor model, int length) {
    int least = 0;
    int most = 0;
    for (int[] frames : new int[][] {model.inputFrames(), model.predictedFrames()}) {
      for (int frame : frames) {
        least = Math.min(least, frame);
        most = Math.max(most, frame);
      }
    }
    int anchor = anchor(model);
    int end = LogMel.samples(most - anchor + model.sliceFrames());
    return new int[] {LogMel.HOP * (anchor - least), length - end};
  }

  /** The recording without the predicted slices; what belongs to an input slice stays. */
  private float[] muted(float[] pcm, int[] inputs) {
    float[] muted = pcm.clone();
    for (int start : starts) {
      Arrays.fill(muted, start, start + samples, 0f);
    }
    for (int start : inputs) {
      System.arraycopy(pcm, start, muted, start, samples);
    }
    return muted;
  }

  /** The recording with silence in the place of the predicted slices. */
  short[] silenced() {
    return with(new float[starts.length][samples]);
  }

  /** The recording with the predicted slices as sound; slow. */
  short[] sound() {
    float[][] sounds = new float[slices.length][];
    for (int i = 0; i < sounds.length; i++) {
      sounds[i] = Inversion.invert(slices[i]);
    }
    return with(sounds);
  }

  /** The recording with other sound in the place of the predicted slices, faded in and out. */
  private short[] with(float[][] sounds) {
    float[] mixed = recording.clone();
    for (int i = 0; i < sounds.length; i++) {
      for (int j = 0; j < samples; j++) {
        float share = Math.min(1f, Math.min(j + 1, samples - j) / (float) FADE);
        int at = starts[i] + j;
        mixed[at] = share * sounds[i][j] + (1 - share) * recording[at];
      }
    }
    short[] pcm = new short[mixed.length];
    for (int i = 0; i < pcm.length; i++) {
      pcm[i] = (short) Math.max(-32_768, Math.min(32_767, Math.round(32_768 * mixed[i])));
    }
    return pcm;
  }

  private float[] piece(int start) {
    return Arrays.copyOfRange(recording, start, start + samples);
  }

  private static double error(float[] truth, float[] predicted) {
    double sum = 0;
    for (int i = 0; i < truth.length; i++) {
      sum += (truth[i] - predicted[i]) * (double) (truth[i] - predicted[i]);
    }
    return sum / truth.length;
  }
}
