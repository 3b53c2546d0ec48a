package org.a2vtf.core;

/** Percentiles, as NumPy's default gives them. */
final class Percentiles {
  private Percentiles() {}

  /**
   * @param sorted ascending, at least one
   * @param share 0 gives the first, 1 the last; between two values on a straight line
   */
  static double of(double[] sorted, double share) {
    double place = share * (sorted.length - 1);
    int before = (int) place;
    int after = Math.min(before + 1, sorted.length - 1);
    return sorted[before] + (place - before) * (sorted[after] - sorted[before]);
  }
}
