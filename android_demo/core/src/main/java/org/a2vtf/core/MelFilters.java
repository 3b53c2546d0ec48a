package org.a2vtf.core;

import java.util.Arrays;

/**
 * The triangular mel filters of the front end: a matrix from the magnitudes of a frame's Fourier
 * transform to mel magnitudes. Each Fourier bin lies on the rising side of one triangle and on
 * the falling side of the one before, with weights that add up to 1.
 */
final class MelFilters {
  /** Fourier bins of a frame of the papers' front end, from 0 Hz to half the sample rate. */
  static final int FOURIER_BINS = LogMel.FFT / 2 + 1;

  private final FrontEnd spec;

  // For each Fourier bin: the triangle on whose rising side it lies (0 to BINS, -1 for none; that
  // is the falling side of the previous triangle), and the weight there.
  private final int[] rising;
  private final double[] height;

  /** The filters of the papers' front end. */
  MelFilters() {
    this(FrontEnd.PAPERS);
  }

  /** Triangle j starts at edge j, is 1 at edge j + 1 and ends at edge j + 2, evenly spaced. */
  MelFilters(FrontEnd spec) {
    this.spec = spec;
    rising = new int[spec.fft / 2 + 1];
    height = new double[rising.length];
    double low = toMel(spec.lowHz);
    double spacing = (toMel(spec.highHz) - low) / (spec.bins + 1);
    for (int i = 0; i < rising.length; i++) {
      double place = (toMel((double) i * spec.sampleRate / spec.fft) - low) / spacing;
      // The constant component is in no filter, even if the band begins with it.
      boolean outside = i == 0 || place < 0 || place >= spec.bins + 1;
      rising[i] = outside ? -1 : (int) place;
      height[i] = place - rising[i];
    }
  }

  /** From magnitudes, {@code [fft / 2 + 1]}, to mel magnitudes, {@code [bins]}. */
  void apply(double[] magnitudes, double[] mel) {
    Arrays.fill(mel, 0);
    for (int i = 0; i < rising.length; i++) {
      int triangle = rising[i];
      if (triangle >= 0 && triangle < spec.bins) {
        mel[triangle] += height[i] * magnitudes[i];
      }
      if (triangle > 0) {
        mel[triangle - 1] += (1 - height[i]) * magnitudes[i];
      }
    }
  }

  /** The transposed matrix: from {@code [bins]} to {@code [fft / 2 + 1]} values. */
  void spread(double[] mel, double[] fourier) {
    for (int i = 0; i < rising.length; i++) {
      int triangle = rising[i];
      double sum = 0;
      if (triangle >= 0 && triangle < spec.bins) {
        sum += height[i] * mel[triangle];
      }
      if (triangle > 0) {
        sum += (1 - height[i]) * mel[triangle - 1];
      }
      fourier[i] = sum;
    }
  }

  private static double toMel(double hz) {
    return 1127 * Math.log1p(hz / 700);
  }
}
