package org.a2vtf.core;

/** The in-place discrete Fourier transform; the number of values is a power of two. */
final class Fourier {
  private final int size;
  private final int[] reversed; // bit-reversed indices
  private final double[] cosines;
  private final double[] sines;

  Fourier(int size) {
    if (Integer.bitCount(size) != 1 || size < 2) {
      throw new IllegalArgumentException("size is " + size + ": expected a power of two");
    }
    this.size = size;
    reversed = new int[size];
    int bits = Integer.numberOfTrailingZeros(size);
    for (int i = 0; i < size; i++) {
      reversed[i] = Integer.reverse(i) >>> (32 - bits);
    }
    cosines = new double[size / 2];
    sines = new double[size / 2];
    for (int i = 0; i < size / 2; i++) {
      cosines[i] = Math.cos(2 * Math.PI * i / size);
      sines[i] = -Math.sin(2 * Math.PI * i / size);
    }
  }

  /** Replaces the values by their transform. */
  void transform(double[] real, double[] imaginary) {
    for (int i = 0; i < size; i++) {
      if (i < reversed[i]) {
        swap(real, i, reversed[i]);
        swap(imaginary, i, reversed[i]);
      }
    }
    for (int half = 1; half < size; half *= 2) {
      for (int start = 0; start < size; start += 2 * half) {
        join(real, imaginary, start, half);
      }
    }
  }

  /** Combines two adjacent transforms of half the size. */
  private void join(double[] real, double[] imaginary, int start, int half) {
    int stride = size / (2 * half);
    for (int k = 0; k < half; k++) {
      int even = start + k;
      int odd = even + half;
      double c = cosines[k * stride];
      double s = sines[k * stride];
      double turnedReal = real[odd] * c - imaginary[odd] * s;
      double turnedImaginary = real[odd] * s + imaginary[odd] * c;
      real[odd] = real[even] - turnedReal;
      imaginary[odd] = imaginary[even] - turnedImaginary;
      real[even] += turnedReal;
      imaginary[even] += turnedImaginary;
    }
  }

  private static void swap(double[] values, int i, int j) {
    double kept = values[i];
    values[i] = values[j];
    values[j] = kept;
  }
}
