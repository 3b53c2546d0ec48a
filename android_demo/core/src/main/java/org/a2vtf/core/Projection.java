package org.a2vtf.core;

/** A fixed linear map of embeddings onto a plane, for drawing. */
public final class Projection {
  private final float[] matrix;
  private final float[] mean;

  /**
   * @param matrix {@code [2 * d]}: the weights of x, then those of y
   * @param mean {@code [d]}: the embedding that is mapped to (0, 0)
   * @throws IllegalArgumentException if the lengths do not match
   */
  public Projection(float[] matrix, float[] mean) {
    if (mean.length == 0 || matrix.length != 2 * mean.length) {
      throw new IllegalArgumentException(
          "a matrix of "
              + matrix.length
              + " numbers and a mean of "
              + mean.length
              + ": expected 2 d and d");
    }
    this.matrix = matrix.clone();
    this.mean = mean.clone();
  }

  /** d, numbers in an embedding. */
  public int embeddingDim() {
    return mean.length;
  }

  /**
   * @param embedding {@code [d]}
   * @param xy filled with x and y
   */
  public void project(float[] embedding, float[] xy) {
    if (embedding.length != mean.length) {
      throw new IllegalArgumentException(
          "an embedding of " + embedding.length + " numbers: expected " + mean.length);
    }
    for (int axis = 0; axis < 2; axis++) {
      double sum = 0;
      for (int i = 0; i < mean.length; i++) {
        sum += (double) matrix[axis * mean.length + i] * (embedding[i] - mean[i]);
      }
      xy[axis] = (float) sum;
    }
  }
}
