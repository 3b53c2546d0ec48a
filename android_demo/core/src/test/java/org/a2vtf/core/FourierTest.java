package org.a2vtf.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import java.util.Random;
import org.junit.Test;

public class FourierTest {
  @Test
  public void equalsItsDefinition() {
    Random random = new Random(0);
    for (int size : new int[] {2, 8, 64, 512}) {
      double[] real = new double[size];
      double[] imaginary = new double[size];
      for (int i = 0; i < size; i++) {
        real[i] = random.nextGaussian();
        imaginary[i] = random.nextGaussian();
      }
      double[] gotReal = real.clone();
      double[] gotImaginary = imaginary.clone();
      new Fourier(size).transform(gotReal, gotImaginary);
      for (int k = 0; k < size; k++) {
        double sumReal = 0;
        double sumImaginary = 0;
        for (int n = 0; n < size; n++) {
          double angle = -2 * Math.PI * k * n / size;
          sumReal += real[n] * Math.cos(angle) - imaginary[n] * Math.sin(angle);
          sumImaginary += real[n] * Math.sin(angle) + imaginary[n] * Math.cos(angle);
        }
        assertEquals(sumReal, gotReal[k], 1e-9);
        assertEquals(sumImaginary, gotImaginary[k], 1e-9);
      }
    }
  }

  @Test
  public void refusesOtherSizesThanPowersOfTwo() {
    for (int size : new int[] {-4, 0, 1, 400}) {
      assertThrows(IllegalArgumentException.class, () -> new Fourier(size));
    }
  }
}
