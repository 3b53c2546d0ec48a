package org.a2vtf.core;

import java.util.Arrays;
import java.util.Locale;
import java.util.Random;

/** Measures the time of an encoder's steps, after some warm-up steps. */
public final class Benchmark {
  private static final long SEED = 5;
  private static final float LEVEL = 0.1f; // of the input noise

  private Benchmark() {}

  /** Receives the progress, outside of the measured time. */
  public interface Progress {
    /**
     * @param done steps so far, including warm-up steps
     * @param of total number of steps
     * @return false to stop
     */
    boolean step(int done, int of);
  }

  /** A clock, which tests replace. */
  interface Clock {
    long nanos();
  }

  private static final Clock SYSTEM =
      new Clock() {
        @Override
        public long nanos() {
          return System.nanoTime();
        }
      };

  /** The result; times are microseconds of wall time per step. */
  public static final class Result {
    public final double medianUs;
    public final double p90Us;
    public final double p99Us;
    public final double meanUs;

    /** Mean time of a step divided by the duration of its audio; below 1 is real time. */
    public final double realTimeFactor;

    /** Number of measured steps. */
    public final int steps;

    public final int hopSamples;

    /** Description of the model and the settings. */
    public final String what;

    Result(double[] us, int hopSamples, String what) {
      double[] sorted = us.clone();
      Arrays.sort(sorted);
      medianUs = Percentiles.of(sorted, 0.5);
      p90Us = Percentiles.of(sorted, 0.9);
      p99Us = Percentiles.of(sorted, 0.99);
      meanUs = mean(sorted);
      realTimeFactor = meanUs / (hopSamples * 1e6 / LogMel.SAMPLE_RATE);
      steps = us.length;
      this.hopSamples = hopSamples;
      this.what = what;
    }

    private Result(Result other, String what) {
      medianUs = other.medianUs;
      p90Us = other.p90Us;
      p99Us = other.p99Us;
      meanUs = other.meanUs;
      realTimeFactor = other.realTimeFactor;
      steps = other.steps;
      hopSamples = other.hopSamples;
      this.what = what;
    }

    /** The same result with another description, such as "XNNPACK, 2 threads". */
    public Result named(String what) {
      return new Result(this, what);
    }

    /** The result as text of several lines. */
    public String toText() {
      return String.format(
          Locale.ROOT,
          "%s%n%d steps of %.0f ms: median %.0f us, p90 %.0f us, p99 %.0f us, "
              + "mean %.0f us%nreal-time factor %.4f (%.2f %% of one core)%n",
          what,
          steps,
          hopSamples * 1e3 / LogMel.SAMPLE_RATE,
          medianUs,
          p90Us,
          p99Us,
          meanUs,
          realTimeFactor,
          100 * realTimeFactor);
    }

    /** The result as a JSON object with the names of the fields. */
    public String toJson() {
      return String.format(
          Locale.ROOT,
          "{\"what\": %s, \"steps\": %d, \"hopSamples\": %d, \"medianUs\": %.3f, "
              + "\"p90Us\": %.3f, \"p99Us\": %.3f, \"meanUs\": %.3f, "
              + "\"realTimeFactor\": %.6f}",
          Json.quote(what),
          steps,
          hopSamples,
          medianUs,
          p90Us,
          p99Us,
          meanUs,
          realTimeFactor);
    }
  }

  /**
   * Runs the encoder on fixed noise, and resets it before and after.
   *
   * @param encoder the encoder to measure
   * @param warmUp number of warm-up steps, 0 or more
   * @param steps number of measured steps, at least 1
   * @param progress receives the progress; may be null
   * @return the result; null if {@code progress} stopped the benchmark
   */
  public static Result run(Encoder encoder, int warmUp, int steps, Progress progress) {
    return run(encoder, warmUp, steps, progress, SYSTEM);
  }

  static Result run(Encoder encoder, int warmUp, int steps, Progress progress, Clock clock) {
    if (warmUp < 0 || steps < 1) {
      throw new IllegalArgumentException(
          warmUp + " steps to warm up and " + steps + " to time: expected 0 or more and 1 or more");
    }
    float[] noise = noise(encoder.hopSamples());
    float[] embedding = new float[encoder.embeddingDim()];
    double[] us = new double[steps];
    encoder.reset();
    for (int i = -warmUp; i < steps; i++) {
      long start = clock.nanos();
      encoder.embed(noise, embedding);
      long nanos = clock.nanos() - start;
      if (i >= 0) {
        us[i] = nanos / 1e3;
      }
      if (progress != null && !progress.step(warmUp + i + 1, warmUp + steps)) {
        encoder.reset();
        return null;
      }
    }
    encoder.reset();
    return new Result(us, noise.length, "embedding of " + embedding.length + " numbers");
  }

  private static float[] noise(int samples) {
    Random random = new Random(SEED);
    float[] noise = new float[samples];
    for (int i = 0; i < samples; i++) {
      noise[i] = LEVEL * (2 * random.nextFloat() - 1);
    }
    return noise;
  }

  private static double mean(double[] values) {
    double sum = 0;
    for (double value : values) {
      sum += value;
    }
    return sum / values.length;
  }
}
