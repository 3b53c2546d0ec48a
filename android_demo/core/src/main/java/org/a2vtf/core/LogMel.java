package org.a2vtf.core;

import java.util.Arrays;

/**
 * The log-mel front end of {@code a2v_tf/frontend.py}, frame by frame: a Hann window of 25 ms every
 * 10 ms, the modulus of its Fourier transform, 64 triangular HTK mel filters, and a logarithm.
 *
 * <p>A stream starts after 240 samples of silence, as in the exported models: frame i ends with
 * sample 160 (i + 1). The frames are bit-exact however the stream is divided into calls. Constants
 * and sums are double; only the result is rounded to float.
 */
public final class LogMel {
  /** Hz. */
  public static final int SAMPLE_RATE = 16_000;

  /** Samples in a frame's window. */
  public static final int WINDOW = 400;

  /** Samples between two frames. */
  public static final int HOP = 160;

  /** Values in a frame. */
  public static final int BINS = 64;

  /** Values of a frame's Fourier transform. */
  static final int FFT = 512;

  /** Added to the mel magnitudes before the logarithm. */
  static final double LOG_OFFSET = 1e-2;

  private final double[] hann = hann();
  private final Fourier fourier = new Fourier(FFT);
  private final MelFilters filters = new MelFilters();

  private final float[] recent = new float[WINDOW];
  private int missing; // samples until `recent` is a full window
  private final double[] real = new double[FFT];
  private final double[] imaginary = new double[FFT];
  private final double[] magnitudes = new double[FFT / 2 + 1];
  private final double[] mel = new double[BINS];

  /** Starts a stream. */
  public LogMel() {
    reset();
  }

  /** The Hann window of a frame. */
  static double[] hann() {
    double[] window = new double[WINDOW];
    for (int i = 0; i < WINDOW; i++) {
      window[i] = 0.5 - 0.5 * Math.cos(2 * Math.PI * i / WINDOW);
    }
    return window;
  }

  /**
   * Takes the next samples of the stream.
   *
   * @param pcm samples in [-1, 1]
   * @param offset index of the first sample in {@code pcm}
   * @param count number of samples
   * @param framesOut receives the completed frames, {@code [frames * BINS]}, at most {@code count /
   *     HOP + 1} frames
   * @return the number of completed frames
   * @throws IllegalArgumentException if they do not fit; no sample is taken then
   */
  public int feed(float[] pcm, int offset, int count, float[] framesOut) {
    Ranges.check(pcm.length, offset, count);
    int frames = count < missing ? 0 : 1 + (count - missing) / HOP;
    if (framesOut.length < frames * BINS) {
      throw new IllegalArgumentException(
          frames
              + " frames do not fit into "
              + framesOut.length
              + " numbers: expected "
              + frames * BINS);
    }
    int taken = 0;
    for (int frame = 0; frame < frames; frame++) {
      int next = missing;
      append(pcm, offset + taken, next);
      taken += next;
      computeFrame(framesOut, frame * BINS);
      System.arraycopy(recent, HOP, recent, 0, WINDOW - HOP);
      missing = HOP;
    }
    append(pcm, offset + taken, count - taken);
    return frames;
  }

  /** Starts a new stream. */
  public void reset() {
    Arrays.fill(recent, 0f);
    missing = HOP;
  }

  private void append(float[] pcm, int offset, int count) {
    System.arraycopy(pcm, offset, recent, WINDOW - missing, count);
    missing -= count;
  }

  private void computeFrame(float[] out, int offset) {
    for (int i = 0; i < WINDOW; i++) {
      real[i] = recent[i] * hann[i];
    }
    Arrays.fill(real, WINDOW, FFT, 0);
    Arrays.fill(imaginary, 0);
    fourier.transform(real, imaginary);
    for (int i = 0; i < magnitudes.length; i++) {
      magnitudes[i] = Math.sqrt(real[i] * real[i] + imaginary[i] * imaginary[i]);
    }
    filters.apply(magnitudes, mel);
    for (int j = 0; j < BINS; j++) {
      out[offset + j] = (float) Math.log(mel[j] + LOG_OFFSET);
    }
  }
}
