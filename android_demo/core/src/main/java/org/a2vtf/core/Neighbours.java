package org.a2vtf.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A nearest-neighbour classifier of taught sounds: the 10 labelled embeddings with the least
 * Euclidean distance vote (all, if there are fewer). Thread-safe.
 */
public final class Neighbours {
  /** Number of nearest embeddings that vote. */
  public static final int K = 10;

  private final Map<String, List<float[]>> taught = new LinkedHashMap<String, List<float[]>>();
  private double unknownAbove = Double.POSITIVE_INFINITY;

  /** Result of a classification. */
  public static final class Match {
    /** Label of the taught sound. */
    public final String label;

    /** Euclidean distance to the nearest embedding with this label. */
    public final double distance;

    /** Number of votes for this label. */
    public final int votes;

    /** Number of all votes. */
    public final int of;

    /** Whether the distance is above the threshold. */
    public final boolean unknown;

    Match(String label, double distance, int votes, int of, boolean unknown) {
      this.label = label;
      this.distance = distance;
      this.votes = votes;
      this.of = of;
      this.unknown = unknown;
    }
  }

  /**
   * Adds an embedding of a sound.
   *
   * @throws IllegalArgumentException if the label or the embedding is empty, or the embedding has
   *     another length than earlier ones or a value that is not finite
   */
  public synchronized void add(String label, float[] embedding) {
    if (label == null || label.trim().isEmpty()) {
      throw new IllegalArgumentException("a taught sound needs a label");
    }
    check(embedding);
    List<float[]> embeddings = taught.get(label);
    if (embeddings == null) {
      embeddings = new ArrayList<float[]>();
      taught.put(label, embeddings);
    }
    embeddings.add(embedding.clone());
  }

  /** Removes all embeddings of a label, if there are any. */
  public synchronized void remove(String label) {
    taught.remove(label);
  }

  /** The labels, in the order in which they were first taught. */
  public synchronized List<String> labels() {
    return new ArrayList<String>(taught.keySet());
  }

  /** Number of embeddings of a label. */
  public synchronized int count(String label) {
    List<float[]> embeddings = taught.get(label);
    return embeddings == null ? 0 : embeddings.size();
  }

  /** Numbers in an embedding; 0 before the first. */
  public synchronized int dim() {
    return taught.isEmpty() ? 0 : taught.values().iterator().next().get(0).length;
  }

  /**
   * Finds the most frequent label of the nearest embeddings; the nearest one breaks ties.
   *
   * @return null if nothing was taught
   */
  public synchronized Match nearest(float[] embedding) {
    if (taught.isEmpty()) {
      return null;
    }
    check(embedding);
    Nearest nearest = new Nearest(K);
    for (Map.Entry<String, List<float[]>> sound : taught.entrySet()) {
      for (float[] other : sound.getValue()) {
        nearest.offer(sound.getKey(), distance(embedding, other));
      }
    }
    String label = nearest.winner();
    return match(label, nearest.distance(label), nearest.votes(label), nearest.count());
  }

  /** The mean of a label's embeddings; null if it has none. */
  public synchronized float[] prototype(String label) {
    List<float[]> embeddings = taught.get(label);
    if (embeddings == null) {
      return null;
    }
    double[] sum = new double[dim()];
    for (float[] embedding : embeddings) {
      for (int i = 0; i < sum.length; i++) {
        sum[i] += embedding[i];
      }
    }
    float[] mean = new float[sum.length];
    for (int i = 0; i < sum.length; i++) {
      mean[i] = (float) (sum[i] / embeddings.size());
    }
    return mean;
  }

  /**
   * Finds the label with the nearest prototype and its distance: one vote of one.
   *
   * @return null if nothing was taught
   */
  public synchronized Match nearestPrototype(float[] embedding) {
    if (taught.isEmpty()) {
      return null;
    }
    check(embedding);
    Nearest nearest = new Nearest(1);
    for (String label : taught.keySet()) {
      nearest.offer(label, distance(embedding, prototype(label)));
    }
    String label = nearest.winner();
    return match(label, nearest.distance(label), 1, 1);
  }

  /** Distance above which a match is unknown; infinite until it is set or calibrated. */
  public synchronized double unknownAbove() {
    return unknownAbove;
  }

  /** Sets the distance above which a match is unknown: 0 or more, infinite for never. */
  public synchronized void setUnknownAbove(double distance) {
    if (!(distance >= 0)) {
      throw new IllegalArgumentException(
          "unknown above " + distance + ": expected a distance of 0 or more");
    }
    unknownAbove = distance;
  }

  /**
   * Sets the threshold from the taught sounds. For several labels, it is the 5th percentile of the
   * distances between embeddings of different labels; for one label, 1.5 times the median distance
   * between its embeddings. Does nothing if there are fewer than two embeddings.
   */
  public synchronized void calibrate() {
    double threshold = Calibration.threshold(taught.values());
    if (!Double.isNaN(threshold)) {
      unknownAbove = threshold;
    }
  }

  /** All embeddings, as JSON for {@link #fromJson}. */
  public synchronized String toJson() {
    return NeighboursJson.write(taught, unknownAbove);
  }

  /**
   * Reads the result of {@link #toJson}.
   *
   * @throws IllegalArgumentException if it is something else; the message says why
   */
  public static Neighbours fromJson(String json) {
    return NeighboursJson.read(json);
  }

  private Match match(String label, double distance, int votes, int of) {
    return new Match(label, distance, votes, of, distance > unknownAbove);
  }

  private void check(float[] embedding) {
    if (embedding.length == 0 || (dim() > 0 && embedding.length != dim())) {
      throw new IllegalArgumentException(
          "an embedding of "
              + embedding.length
              + " numbers: expected "
              + (dim() > 0 ? dim() + ", as the taught ones have" : "some"));
    }
    for (float number : embedding) {
      if (Float.isNaN(number) || Float.isInfinite(number)) {
        throw new IllegalArgumentException("an embedding with " + number + ": expected numbers");
      }
    }
  }

  static double distance(float[] one, float[] other) {
    double sum = 0;
    for (int i = 0; i < one.length; i++) {
      double difference = (double) one[i] - other[i];
      sum += difference * difference;
    }
    return Math.sqrt(sum);
  }
}
