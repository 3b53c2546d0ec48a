package org.a2vtf.core;

/** Novelty of a sound: the cosine distance from the mean embedding of the last second. */
public final class Novelty {
  private static final int USUAL = 12; // about a second at 80 ms

  private final float[][] recent;
  private long seen;

  /** Keeps 12 embeddings: about a second at a hop of 80 ms. */
  public Novelty() {
    this(USUAL);
  }

  /**
   * @param embeddings number of embeddings to keep, at least 1
   */
  public Novelty(int embeddings) {
    if (embeddings < 1) {
      throw new IllegalArgumentException("embeddings is " + embeddings + ": expected at least 1");
    }
    recent = new float[embeddings][];
  }

  /**
   * Takes the next embedding, which is copied.
   *
   * @return from 0 (the direction of the previous embeddings' mean) to 2 (the opposite); 0 for the
   *     first
   */
  public double next(float[] embedding) {
    double distance = seen == 0 ? 0 : distance(embedding);
    recent[(int) (seen % recent.length)] = embedding.clone();
    seen++;
    return distance;
  }

  /** Removes all embeddings. */
  public void reset() {
    seen = 0;
  }

  private double distance(float[] embedding) {
    int count = (int) Math.min(seen, recent.length);
    double dot = 0;
    double ofMean = 0;
    double ofThis = 0;
    for (int i = 0; i < embedding.length; i++) {
      double sum = 0; // the mean times `count`; the direction is the same
      for (int j = 0; j < count; j++) {
        sum += recent[j][i];
      }
      dot += sum * embedding[i];
      ofMean += sum * sum;
      ofThis += (double) embedding[i] * embedding[i];
    }
    if (ofMean == 0 || ofThis == 0) {
      return ofMean == ofThis ? 0 : 1; // zeros have no direction
    }
    double cosine = dot / Math.sqrt(ofMean * ofThis);
    return Math.max(0, Math.min(2, 1 - cosine));
  }
}
