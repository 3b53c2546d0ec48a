package org.a2vtf.core;

import java.util.Arrays;

/**
 * The triangular mel filters of the front end: a matrix from the magnitudes of a frame's Fourier
 * transform to mel magnitudes. Each Fourier bin lies on the rising side of one triangle and on
 * the falling side of the one before, with weights that add up to 1.
 */
final class MelFilters {
  /** Fourier bins of a frame, from 0 Hz to half the sample rate. */
  static final int FOURIER_BINS = LogMel.FFT / 2 + 1;

  private static final double LOW_HZ = 60;
  private static final double HIGH_HZ = 7_800;

  // For each Fourier bin: the triangle on whose rising side it lies (0 to BINS, -1 for none; that
  // is the falling side of the previous triangle), and the weight there.
  private final int[] rising = new int[FOURIER_BINS];
  private final double[] height = new double[FOURIER_BINS];

  /** Triangle j starts at edge j, is 1 at edge j + 1 and ends at edge j + 2, evenly spaced. */
  MelFilters() {
    double low = toMel(LOW_HZ);
    double spacing = (toMel(HIGH_HZ) - low) / (LogMel.BINS + 1);
    for (int i = 0; i < FOURIER_BINS; i++) {
      double place = (toMel((double) i * LogMel.SAMPLE_RATE / LogMel.FFT) - low) / spacing;
      boolean outside = place < 0 || place >= LogMel.BINS + 1;
      rising[i] = outside ? -1 : (int) place;
      height[i] = place - rising[i];
    }
  }

  /** From magnitudes, {@code [FOURIER_BINS]}, to mel magnitudes, {@code [BINS]}. */
  void apply(double[] magnitudes, double[] mel) {
    Arrays.fill(mel, 0);
    for (int i = 0; i < FOURIER_BINS; i++) {
      int triangle = rising[i];
      if (triangle >= 0 && triangle < LogMel.BINS) {
        mel[triangle] += height[i] * magnitudes[i];
      }
      if (triangle > 0) {
        mel[triangle - 1] += (1 - height[i]) * magnitudes[i];
      }
    }
  }

  /** The transposed matrix: from {@code [BINS]} to {@code [FOURIER_BINS]} values. */
  void spread(double[] mel, double[] fourier) {
    for (int i = 0; i < FOURIER_BINS; i++) {
      int triangle = rising[i];
      double sum = 0;
      if (triangle >= 0 && triangle < LogMel.BINS) {
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
