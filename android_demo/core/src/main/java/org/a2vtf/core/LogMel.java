package org.a2vtf.core;

import java.util.Arrays;

/**
 * The front end of {@code a2v_tf/frontend.py}, frame by frame: a Hann window, of the papers 25 ms
 * every 10 ms, the modulus of its Fourier transform, triangular HTK mel filters unless the front end
 * has none, and a logarithm.
 *
 * <p>A stream starts after silence, of the papers 240 samples, as in the exported models: frame i
 * ends with sample hop (i + 1). The constants are the papers'. The frames are bit-exact however the
 * stream is divided into calls. Constants and sums are double; only the result is rounded to float.
 */
public final class LogMel {
  /** Hz. */
  public static final int SAMPLE_RATE = FrontEnd.PAPERS.sampleRate;

  /** Samples in a frame's window. */
  public static final int WINDOW = FrontEnd.PAPERS.window;

  /** Samples between two frames. */
  public static final int HOP = FrontEnd.PAPERS.hop;

  /** Values in a frame. */
  public static final int BINS = FrontEnd.PAPERS.bins;

  /** Values of a frame's Fourier transform. */
  static final int FFT = FrontEnd.PAPERS.fft;

  /** Added to the mel magnitudes before the logarithm. */
  static final double LOG_OFFSET = FrontEnd.PAPERS.logOffset;

  private final FrontEnd spec;
  private final double[] hann;
  private final Fourier fourier;
  private final MelFilters filters; // null without mel bins

  private final float[] recent;
  private int missing; // samples until `recent` is a full window
  private final double[] real;
  private final double[] imaginary;
  private final double[] magnitudes;
  private final double[] values;

  /** Starts a stream of the papers' front end. */
  public LogMel() {
    this(FrontEnd.PAPERS);
  }

  /** Starts a stream of any front end. */
  public LogMel(FrontEnd spec) {
    this.spec = spec;
    hann = hann(spec.window);
    fourier = new Fourier(spec.fft);
    filters = spec.isMel ? new MelFilters(spec) : null;
    recent = new float[spec.window];
    real = new double[spec.fft];
    imaginary = new double[spec.fft];
    magnitudes = new double[spec.fft / 2 + 1];
    values = new double[spec.bins];
    reset();
  }

  /** The front end. */
  public FrontEnd frontEnd() {
    return spec;
  }

  /** The fewest samples that give {@code frames} frames of the papers' front end, at least one. */
  public static int samples(int frames) {
    return WINDOW + (frames - 1) * HOP;
  }

  /**
   * The frames of a whole recording by the papers' front end, without padding: frame i begins with
   * sample 160 i.
   *
   * @param pcm samples in [-1, 1]
   * @return {@code [frames * BINS]}; empty if there are fewer samples than a window
   */
  public static float[] of(float[] pcm) {
    int begun = (WINDOW - 1) / HOP; // frames of a stream that begin before the recording
    int shift = (begun + 1) * HOP - WINDOW;
    float[] stream = new float[shift + pcm.length];
    System.arraycopy(pcm, 0, stream, shift, pcm.length);
    float[] frames = new float[(stream.length / HOP + 1) * BINS];
    int count = new LogMel().feed(stream, 0, stream.length, frames);
    return Arrays.copyOfRange(frames, Math.min(begun, count) * BINS, count * BINS);
  }

  /** The Hann window of a frame of the papers' front end. */
  static double[] hann() {
    return hann(WINDOW);
  }

  private static double[] hann(int length) {
    double[] window = new double[length];
    for (int i = 0; i < length; i++) {
      window[i] = 0.5 - 0.5 * Math.cos(2 * Math.PI * i / length);
    }
    return window;
  }

  /**
   * Takes the next samples of the stream.
   *
   * @param pcm samples in [-1, 1]
   * @param offset index of the first sample in {@code pcm}
   * @param count number of samples
   * @param framesOut receives the completed frames, {@code [frames * bins]}, at most {@code count /
   *     hop + 1} frames
   * @return the number of completed frames
   * @throws IllegalArgumentException if they do not fit; no sample is taken then
   */
  public int feed(float[] pcm, int offset, int count, float[] framesOut) {
    Ranges.check(pcm.length, offset, count);
    int frames = count < missing ? 0 : 1 + (count - missing) / spec.hop;
    if (framesOut.length < frames * spec.bins) {
      throw new IllegalArgumentException(
          frames
              + " frames do not fit into "
              + framesOut.length
              + " numbers: expected "
              + frames * spec.bins);
    }
    int taken = 0;
    for (int frame = 0; frame < frames; frame++) {
      int next = missing;
      append(pcm, offset + taken, next);
      taken += next;
      computeFrame(framesOut, frame * spec.bins);
      System.arraycopy(recent, spec.hop, recent, 0, spec.window - spec.hop);
      missing = spec.hop;
    }
    append(pcm, offset + taken, count - taken);
    return frames;
  }

  /** Starts a new stream. */
  public void reset() {
    Arrays.fill(recent, 0f);
    missing = spec.hop;
  }

  private void append(float[] pcm, int offset, int count) {
    System.arraycopy(pcm, offset, recent, spec.window - missing, count);
    missing -= count;
  }

  private void computeFrame(float[] out, int offset) {
    for (int i = 0; i < spec.window; i++) {
      real[i] = recent[i] * hann[i];
    }
    Arrays.fill(real, spec.window, spec.fft, 0);
    Arrays.fill(imaginary, 0);
    fourier.transform(real, imaginary);
    for (int i = 0; i < magnitudes.length; i++) {
      magnitudes[i] = Math.sqrt(real[i] * real[i] + imaginary[i] * imaginary[i]);
    }
    if (filters == null) {
      System.arraycopy(magnitudes, spec.firstBin, values, 0, spec.bins);
    } else {
      filters.apply(magnitudes, values);
    }
    for (int j = 0; j < spec.bins; j++) {
      out[offset + j] = (float) Math.log(values[j] + spec.logOffset);
    }
  }
}
