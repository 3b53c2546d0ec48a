package org.a2vtf.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Computes the distance above which a sound is unknown, from the taught sounds. */
final class Calibration {
  // The share of distances between different labels below the threshold.
  private static final double SHARE_BETWEEN = 0.05;
  // With a single label: the factor of the median distance between its embeddings.
  private static final double TIMES_WITHIN = 1.5;
  private static final int COMPARED = 50; // at most, per label

  private Calibration() {}

  /**
   * @param sounds embeddings of each label
   * @return NaN if there are fewer than two embeddings
   */
  static double threshold(Iterable<List<float[]>> sounds) {
    List<List<float[]>> some = new ArrayList<List<float[]>>();
    for (List<float[]> sound : sounds) {
      some.add(evenly(sound));
    }
    if (some.size() > 1) {
      return Percentiles.of(between(some), SHARE_BETWEEN);
    }
    if (some.size() == 1 && some.get(0).size() > 1) {
      return TIMES_WITHIN * Percentiles.of(within(some.get(0)), 0.5);
    }
    return Double.NaN;
  }

  private static List<float[]> evenly(List<float[]> embeddings) {
    int step = 1 + (embeddings.size() - 1) / COMPARED;
    List<float[]> some = new ArrayList<float[]>();
    for (int i = 0; i < embeddings.size(); i += step) {
      some.add(embeddings.get(i));
    }
    return some;
  }

  /** Sorted distances between embeddings of one label. */
  private static double[] within(List<float[]> sound) {
    double[] distances = new double[sound.size() * (sound.size() - 1) / 2];
    int count = 0;
    for (int i = 0; i < sound.size(); i++) {
      for (int j = 0; j < i; j++) {
        distances[count++] = Neighbours.distance(sound.get(i), sound.get(j));
      }
    }
    Arrays.sort(distances);
    return distances;
  }

  /** Sorted distances between embeddings of different labels. */
  private static double[] between(List<List<float[]>> sounds) {
    int earlier = 0;
    int pairs = 0;
    for (List<float[]> sound : sounds) {
      pairs += earlier * sound.size();
      earlier += sound.size();
    }
    double[] distances = new double[pairs];
    int count = 0;
    List<float[]> before = new ArrayList<float[]>();
    for (List<float[]> sound : sounds) {
      for (float[] one : sound) {
        for (float[] other : before) {
          distances[count++] = Neighbours.distance(one, other);
        }
      }
      before.addAll(sound);
    }
    Arrays.sort(distances);
    return distances;
  }
}
