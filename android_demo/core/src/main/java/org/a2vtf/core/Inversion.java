package org.a2vtf.core;

/**
 * From log-mel back to sound, as a2v_tf/evaluation/inversion.py does (patent paragraph 60).
 *
 * <p>What the front end discards is estimated: 257 frequency magnitudes from 64 mel bins by
 * non-negative least squares, and the phase by the Griffin-Lim algorithm. Therefore the sound is
 * rough even if its log-mel is exact.
 */
public final class Inversion {
  /** Iterations of the Griffin-Lim algorithm. */
  static final int ITERATIONS = 64;

  /** Frames added at each end, so that every sample is covered by whole windows. */
  private static final int MARGIN = 2;

  private static final int STEPS = 100; // of the least squares
  // The largest eigenvalue of the filters times their transposed matrix is 8.757.
  private static final double STEP = 1 / 8.76;
  private static final MelFilters FILTERS = new MelFilters();

  private Inversion() {}

  /**
   * Estimates sound with a given log-mel spectrogram. The result is deterministic.
   *
   * @param logMel {@code [frames * LogMel.BINS]}
   * @return {@link LogMel#samples} samples of the frames, not clipped
   * @throws IllegalArgumentException if there is no whole frame, or a value is NaN, infinite or
   *     beyond 88
   */
  public static float[] invert(float[] logMel) {
    int frames = logMel.length / LogMel.BINS;
    if (frames == 0 || logMel.length % LogMel.BINS != 0) {
      throw new IllegalArgumentException(
          logMel.length + " numbers: expected a multiple of " + LogMel.BINS);
    }
    double[][] mel = new double[frames][LogMel.BINS];
    double peak = 0;
    for (int i = 0; i < logMel.length; i++) {
      double value = Math.max(0, Math.exp(logMel[i]) - LogMel.LOG_OFFSET);
      if (!(value <= Float.MAX_VALUE)) {
        throw new IllegalArgumentException(
            "the log-mel has the value " + logMel[i] + ": expected finite values up to 88");
      }
      mel[i / LogMel.BINS][i % LogMel.BINS] = value;
      peak = Math.max(peak, value);
    }
    float[] pcm = new float[LogMel.samples(frames)];
    if (peak > 0) {
      double[] wide = GriffinLim.invert(magnitudes(mel), ITERATIONS);
      // The window is in the middle of its frame there; the front end's frame starts with it.
      int start = MARGIN * LogMel.HOP + (LogMel.FFT - LogMel.WINDOW) / 2;
      for (int i = 0; i < pcm.length; i++) {
        pcm[i] = (float) wide[start + i];
      }
    }
    return pcm;
  }

  /** Magnitudes of the frames of mel magnitudes; the first and the last frame are repeated. */
  static double[][] magnitudes(double[][] mel) {
    double[][] magnitudes = new double[mel.length + 2 * MARGIN][];
    for (int i = 0; i < magnitudes.length; i++) {
      magnitudes[i] = magnitudes(mel[Math.max(0, Math.min(mel.length - 1, i - MARGIN))]);
    }
    return magnitudes;
  }

  /**
   * The non-negative magnitudes whose mel magnitudes are nearest to given ones, by accelerated
   * projected gradient descent (FISTA; Beck and Teboulle, 2009). There are many exact solutions;
   * starting at zeros, it finds about the one with the least energy.
   */
  static double[] magnitudes(double[] mel) {
    double[] magnitudes = new double[MelFilters.FOURIER_BINS];
    double[] ahead = new double[magnitudes.length];
    double[] gradient = new double[magnitudes.length];
    double[] error = new double[mel.length];
    double momentum = 1;
    for (int step = 0; step < STEPS; step++) {
      FILTERS.apply(ahead, error);
      for (int j = 0; j < error.length; j++) {
        error[j] -= mel[j];
      }
      FILTERS.spread(error, gradient);
      double next = (1 + Math.sqrt(1 + 4 * momentum * momentum)) / 2;
      double share = (momentum - 1) / next;
      for (int i = 0; i < magnitudes.length; i++) {
        double moved = Math.max(0, ahead[i] - STEP * gradient[i]);
        ahead[i] = moved + share * (moved - magnitudes[i]);
        magnitudes[i] = moved;
      }
      momentum = next;
    }
    return magnitudes;
  }
}
