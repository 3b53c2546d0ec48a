package org.a2vtf.core;

/** Percentiles, computed like NumPy's default. */
final class Percentiles {
  private Percentiles() {}

  /**
   * @param sorted values in ascending order, at least one
   * @param share from 0 (the first value) to 1 (the last one), with linear interpolation
   */
  static double of(double[] sorted, double share) {
    double place = share * (sorted.length - 1);
    int before = (int) place;
    int after = Math.min(before + 1, sorted.length - 1);
    return sorted[before] + (place - before) * (sorted[after] - sorted[before]);
  }
}
