package org.a2vtf.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Sounds that somebody taught, as labelled embeddings, and which of them another one is like: the
 * 10 nearest vote, by Euclidean distance (all, where there are fewer). Any thread may ask.
 */
public final class Neighbours {
  /** How many of the nearest embeddings vote. */
  public static final int K = 10;

  private final Map<String, List<float[]>> taught = new LinkedHashMap<String, List<float[]>>();
  private double unknownAbove = Double.POSITIVE_INFINITY;

  /** What an embedding is like. */
  public static final class Match {
    /** Of the taught sound. */
    public final String label;

    /** Euclidean, to the nearest embedding with this label. */
    public final double distance;

    /** How many of those who voted have this label. */
    public final int votes;

    /** How many voted. */
    public final int of;

    /** Whether it is too far away to be this sound. */
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
   * @throws IllegalArgumentException if the label is empty, or the embedding is, or has another
   *     length than those before, or holds what is no number
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

  /** Forgets all embeddings of a label, if there are any. */
  public synchronized void remove(String label) {
    taught.remove(label);
  }

  /** The labels, in the order in which they were first taught. */
  public synchronized List<String> labels() {
    return new ArrayList<String>(taught.keySet());
  }

  /** How many embeddings a label has. */
  public synchronized int count(String label) {
    List<float[]> embeddings = taught.get(label);
    return embeddings == null ? 0 : embeddings.size();
  }

  /**
   * Finds the label that most of the nearest have; of equally many, that of the nearest one.
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
   * Finds the label with the nearest prototype, and how far away that is: one vote of one.
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

  /** Sets the distance above which a match is unknown, 0 or more; infinite: none is. */
  public synchronized void setUnknownAbove(double distance) {
    if (!(distance >= 0)) {
      throw new IllegalArgumentException(
          "unknown above " + distance + ": expected a distance of 0 or more");
    }
    unknownAbove = distance;
  }

  /**
   * Sets the threshold from the taught sounds: with several labels, the 5th percentile of the
   * distances between embeddings of different ones; with one, 1.5 times the median distance between
   * its own. Changes nothing if there are no two embeddings.
   */
  public synchronized void calibrate() {
    double threshold = Calibration.threshold(taught.values());
    if (!Double.isNaN(threshold)) {
      unknownAbove = threshold;
    }
  }

  /** All that was taught, as JSON that {@link #fromJson} reads. */
  public synchronized String toJson() {
    return NeighboursJson.write(taught, unknownAbove);
  }

  /**
   * Reads what {@link #toJson} wrote.
   *
   * @throws IllegalArgumentException if it is anything else; the message says why
   */
  public static Neighbours fromJson(String json) {
    return NeighboursJson.read(json);
  }

  private Match match(String label, double distance, int votes, int of) {
    return new Match(label, distance, votes, of, distance > unknownAbove);
  }

  /** Numbers in an embedding; 0 before the first. */
  private int dim() {
    return taught.isEmpty() ? 0 : taught.values().iterator().next().get(0).length;
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
