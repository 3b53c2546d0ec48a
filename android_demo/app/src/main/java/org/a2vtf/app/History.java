package org.a2vtf.app;

import org.a2vtf.core.LogMel;

/** The last seconds, for the views: one thread appends, another one copies new entries. */
public final class History {
  /** Seconds that the scrolling views show. */
  public static final int SECONDS = 6;

  /** Seconds of embeddings on the map. */
  public static final int MAP_SECONDS = 20;

  /** Log-mel frames in {@link #SECONDS}. */
  public static final int FRAMES = SECONDS * LogMel.SAMPLE_RATE / LogMel.HOP;

  public final int dim;

  /** Embeddings in {@link #SECONDS}. */
  public final int embeddingsShown;

  private final int capacity;
  private final float[] logMel = new float[FRAMES * LogMel.BINS];
  private final float[] embeddings;
  private final float[] points;
  private final float[] novelties;
  private long frames;
  private long count;

  public History(int dim, int hopSamples) {
    this.dim = dim;
    embeddingsShown = Math.max(2, SECONDS * LogMel.SAMPLE_RATE / hopSamples);
    capacity = Math.max(2, MAP_SECONDS * LogMel.SAMPLE_RATE / hopSamples);
    embeddings = new float[capacity * dim];
    points = new float[capacity * 2];
    novelties = new float[capacity];
  }

  synchronized void addFrames(float[] values, int added) {
    for (int i = 0; i < added; i++, frames++) {
      int slot = (int) (frames % FRAMES) * LogMel.BINS;
      System.arraycopy(values, i * LogMel.BINS, logMel, slot, LogMel.BINS);
    }
  }

  synchronized void addEmbedding(float[] embedding, float[] point, double novelty) {
    int slot = (int) (count % capacity);
    System.arraycopy(embedding, 0, embeddings, slot * dim, dim);
    System.arraycopy(point, 0, points, slot * 2, 2);
    novelties[slot] = (float) novelty;
    count++;
  }

  /** Number of frames added so far. */
  public synchronized long frames() {
    return frames;
  }

  /** Number of embeddings added so far. */
  public synchronized long count() {
    return count;
  }

  /** Copies frame {@code index}, counted from the start; false if it is not available. */
  public synchronized boolean frame(long index, float[] into) {
    if (index < 0 || index >= frames || index < frames - FRAMES) {
      return false;
    }
    System.arraycopy(logMel, (int) (index % FRAMES) * LogMel.BINS, into, 0, LogMel.BINS);
    return true;
  }

  /** Copies embedding {@code index}; false if it is not available. */
  public synchronized boolean embedding(long index, float[] into) {
    if (!held(index)) {
      return false;
    }
    System.arraycopy(embeddings, (int) (index % capacity) * dim, into, 0, dim);
    return true;
  }

  /** Copies the last points, oldest first, as x, y, x, y; returns the number of points. */
  public synchronized int points(float[] into) {
    int number = (int) Math.min(Math.min(count, capacity), into.length / 2);
    for (int i = 0; i < number; i++) {
      System.arraycopy(points, (int) ((count - number + i) % capacity) * 2, into, i * 2, 2);
    }
    return number;
  }

  /** Copies the last novelties, oldest first; returns their number. */
  public synchronized int novelties(float[] into) {
    int number = (int) Math.min(Math.min(count, capacity), into.length);
    for (int i = 0; i < number; i++) {
      into[i] = novelties[(int) ((count - number + i) % capacity)];
    }
    return number;
  }

  /** Largest number of points that {@link #points} gives. */
  public int capacity() {
    return capacity;
  }

  private boolean held(long index) {
    return index >= 0 && index < count && index >= count - capacity;
  }
}
