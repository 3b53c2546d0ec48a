package org.a2vtf.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import org.junit.Test;

/** Log-mel turned into sound, compared with librosa's results in Python. */
public class InversionTest {
  private static final int BINS = MelFilters.FOURIER_BINS;

  @Test
  public void drawsTheRandomNumbersOfNumPy() {
    // numpy.random.RandomState(0).random(3)
    MersenneTwister random = new MersenneTwister(0);
    assertEquals(0.5488135039273248, random.nextDouble(), 0);
    assertEquals(0.7151893663724195, random.nextDouble(), 0);
    assertEquals(0.6027633760716439, random.nextDouble(), 0);
    for (int i = 3; i < 1_000; i++) {
      random.nextDouble();
    }
    assertEquals(0.5928802707811576, random.nextDouble(), 0); // random(1001)[-1]
  }

  @Test
  public void griffinLimEqualsThatOfLibrosa() throws Exception {
    int iterations =
        Integer.parseInt(
            Golden.properties("inversion/index.properties").getProperty("iterations"));
    double[] got = GriffinLim.invert(goldenMagnitudes(), iterations);
    float[] expected = Golden.floats("inversion/griffin_lim.f32");
    assertEquals(expected.length, got.length);
    for (int i = 200; i < got.length - 200; i++) { // at the ends, the windows are almost 0
      assertEquals("at " + i, expected[i], got[i], 1e-4);
    }
  }

  @Test
  public void leastSquaresFindMagnitudesNearThoseOfLibrosa() throws Exception {
    double[][] expected = goldenMagnitudes();
    double[][] mel = mel(sweep());
    double[][] got = Inversion.magnitudes(mel);
    assertEquals(expected.length, got.length);
    double difference = 0;
    double size = 0;
    double residual = 0;
    double[] found = new double[LogMel.BINS];
    for (int i = 0; i < got.length; i++) {
      for (int bin = 0; bin < BINS; bin++) {
        assertTrue(got[i][bin] >= 0);
        difference += Math.pow(got[i][bin] - expected[i][bin], 2);
        size += Math.pow(expected[i][bin], 2);
      }
      new MelFilters().apply(got[i], found);
      double[] wanted = mel[Math.max(0, Math.min(mel.length - 1, i - 2))];
      for (int j = 0; j < LogMel.BINS; j++) {
        residual = Math.max(residual, Math.abs(found[j] - wanted[j]));
      }
    }
    assertEquals(0, Math.sqrt(difference / size), 0.05); // there are many exact solutions
    assertEquals(0, residual, 1e-3);
  }

  @Test
  public void soundIsAsNearToTheLogMelAsThatOfLibrosa() throws Exception {
    float[] wanted = sweep();
    float[] sound = Inversion.invert(wanted);
    float[] librosas = Golden.floats("inversion/sound.f32");
    assertEquals(LogMel.samples(wanted.length / LogMel.BINS), sound.length);
    assertEquals(librosas.length, sound.length);
    double error = error(wanted, sound);
    double errorOfLibrosa = error(wanted, librosas);
    assertTrue(error + " and " + errorOfLibrosa, error < 1.05 * errorOfLibrosa);
    assertEquals(0, error, 0.45);
    assertEquals(energy(librosas), energy(sound), 0.05 * energy(librosas));
    assertArrayEquals(sound, Inversion.invert(wanted), 0f);
  }

  @Test
  public void aToneKeepsItsPitchAndLevel() {
    float[] tone = new float[8_000];
    for (int i = 0; i < tone.length; i++) {
      tone[i] = (float) (0.25 * Math.sin(2 * Math.PI * 1_000 * i / 16_000));
    }
    float[] got = Inversion.invert(LogMel.of(tone));
    int crossings = 0;
    for (int i = 1_601; i < 4_801; i++) { // 0.2 s
      crossings += got[i - 1] < 0 && got[i] >= 0 ? 1 : 0;
    }
    assertEquals(200, crossings, 10);
    double power = 0;
    for (int i = 1_600; i < 4_800; i++) {
      power += got[i] * got[i] / 3_200;
    }
    assertEquals(0.25 / Math.sqrt(2), Math.sqrt(power), 0.05);
  }

  @Test
  public void silenceAndValuesBelowItAreSilent() {
    float[] silence = new float[3 * LogMel.BINS];
    Arrays.fill(silence, (float) Math.log(LogMel.LOG_OFFSET));
    assertArrayEquals(new float[720], Inversion.invert(silence), 1e-6f);
    Arrays.fill(silence, -80);
    assertArrayEquals(new float[720], Inversion.invert(silence), 0f);
  }

  @Test
  public void refusesOtherShapesAndNumbers() {
    IllegalArgumentException error =
        assertThrows(IllegalArgumentException.class, () -> Inversion.invert(new float[65]));
    assertEquals("65 numbers: expected a multiple of 64", error.getMessage());
    assertThrows(IllegalArgumentException.class, () -> Inversion.invert(new float[0]));
    for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, 89}) {
      float[] logMel = new float[64];
      logMel[3] = bad;
      error = assertThrows(IllegalArgumentException.class, () -> Inversion.invert(logMel));
      assertTrue(error.getMessage(), error.getMessage().contains("value " + bad));
    }
    float[] least = new float[64];
    least[3] = Float.NEGATIVE_INFINITY; // no sound in this band
    assertEquals(400, Inversion.invert(least).length);
  }

  private static float[] sweep() throws Exception {
    return Golden.floats("front_end/sweep.f32");
  }

  private static double[][] goldenMagnitudes() throws Exception {
    float[] values = Golden.floats("inversion/magnitudes.f32");
    double[][] frames = new double[values.length / BINS][BINS];
    for (int i = 0; i < values.length; i++) {
      frames[i / BINS][i % BINS] = values[i];
    }
    return frames;
  }

  private static double[][] mel(float[] logMel) {
    double[][] mel = new double[logMel.length / LogMel.BINS][LogMel.BINS];
    for (int i = 0; i < logMel.length; i++) {
      mel[i / LogMel.BINS][i % LogMel.BINS] = Math.max(0, Math.exp(logMel[i]) - 1e-2);
    }
    return mel;
  }

  private static double error(float[] wanted, float[] sound) {
    float[] got = LogMel.of(sound);
    assertEquals(wanted.length, got.length);
    double sum = 0;
    for (int i = 0; i < wanted.length; i++) {
      sum += Math.pow(wanted[i] - got[i], 2);
    }
    return Math.sqrt(sum / wanted.length);
  }

  private static double energy(float[] sound) {
    double sum = 0;
    for (float x : sound) {
      sum += x * x;
    }
    return sum;
  }
}
