package org.a2vtf.core;

import java.util.Arrays;

/**
 * Estimates the phase of spectra whose magnitudes are known, by the fast Griffin-Lim algorithm
 * (Perraudin, Balazs and Søndergaard, 2013): what librosa's {@code griffinlim} computes in
 * a2v_tf/evaluation/inversion.py, from the same random phases.
 */
final class GriffinLim {
  private static final double MOMENTUM = 0.99;
  private static final double SHARE = MOMENTUM / (1 + MOMENTUM); // of the spectrum before
  private static final int BINS = MelFilters.FOURIER_BINS;
  private static final int FFT = LogMel.FFT;

  private final double[][] magnitudes;
  private final int frames;
  private final double[] window = new double[FFT]; // the front end's, centred
  private final double[] weights; // sum of the squared windows over each sample
  private final Fourier fourier = new Fourier(FFT);
  private final double[] real = new double[FFT];
  private final double[] imaginary = new double[FFT];
  private final double[] pcm;
  // [frames][BINS]: the estimate, and the spectrum of the sound that the previous one gave.
  private final double[][] spectrumReal;
  private final double[][] spectrumImaginary;
  private final double[][] beforeReal;
  private final double[][] beforeImaginary;

  private GriffinLim(double[][] magnitudes) {
    this.magnitudes = magnitudes;
    frames = magnitudes.length;
    pcm = new double[FFT + (frames - 1) * LogMel.HOP];
    weights = new double[pcm.length];
    double[] hann = LogMel.hann();
    System.arraycopy(hann, 0, window, (FFT - hann.length) / 2, hann.length);
    for (int frame = 0; frame < frames; frame++) {
      for (int i = 0; i < FFT; i++) {
        weights[frame * LogMel.HOP + i] += window[i] * window[i];
      }
    }
    spectrumReal = new double[frames][BINS];
    spectrumImaginary = new double[frames][BINS];
    beforeReal = new double[frames][BINS];
    beforeImaginary = new double[frames][BINS];
  }

  /**
   * Estimates sound whose frames have given magnitudes.
   *
   * @param magnitudes {@code [frames][257]}, at least one frame
   * @return {@code [512 + 160 (frames - 1)]} samples; frame i's window is in the middle of the 512
   *     samples from 160 i on
   */
  static double[] invert(double[][] magnitudes, int iterations) {
    GriffinLim estimate = new GriffinLim(magnitudes);
    estimate.start();
    for (int i = 0; i < iterations; i++) {
      estimate.toSound();
      estimate.toSpectrum(i > 0);
    }
    estimate.toSound();
    return estimate.pcm;
  }

  /** Random phases, in the order in which librosa draws them. */
  private void start() {
    MersenneTwister random = new MersenneTwister(0);
    for (int bin = 0; bin < BINS; bin++) {
      for (int frame = 0; frame < frames; frame++) {
        double phase = 2 * Math.PI * random.nextDouble();
        spectrumReal[frame][bin] = magnitudes[frame][bin] * Math.cos(phase);
        spectrumImaginary[frame][bin] = magnitudes[frame][bin] * Math.sin(phase);
      }
    }
  }

  /** The sound whose spectra are nearest to the present ones. */
  private void toSound() {
    Arrays.fill(pcm, 0);
    for (int frame = 0; frame < frames; frame++) {
      inverse(spectrumReal[frame], spectrumImaginary[frame]);
      for (int i = 0; i < FFT; i++) {
        pcm[frame * LogMel.HOP + i] += window[i] * real[i];
      }
    }
    for (int i = 0; i < pcm.length; i++) {
      if (weights[i] > 0) {
        pcm[i] /= weights[i];
      }
    }
  }

  /** The inverse transform of a real signal's spectrum, in {@link #real}. */
  private void inverse(double[] ofReal, double[] ofImaginary) {
    // The transform of the conjugate, divided by the size. A real signal's spectrum is real at both
    // ends, and the other half is the conjugate of this one.
    for (int bin = 0; bin < BINS; bin++) {
      boolean end = bin == 0 || bin == BINS - 1;
      real[bin] = ofReal[bin] / FFT;
      imaginary[bin] = end ? 0 : -ofImaginary[bin] / FFT;
      if (!end) {
        real[FFT - bin] = real[bin];
        imaginary[FFT - bin] = -imaginary[bin];
      }
    }
    fourier.transform(real, imaginary);
  }

  /** The sound's spectra, extrapolated from those before them, with the known magnitudes. */
  private void toSpectrum(boolean momentum) {
    for (int frame = 0; frame < frames; frame++) {
      for (int i = 0; i < FFT; i++) {
        real[i] = window[i] * pcm[frame * LogMel.HOP + i];
      }
      Arrays.fill(imaginary, 0);
      fourier.transform(real, imaginary);
      for (int bin = 0; bin < BINS; bin++) {
        double x = real[bin];
        double y = imaginary[bin];
        if (momentum) {
          x -= SHARE * beforeReal[frame][bin];
          y -= SHARE * beforeImaginary[frame][bin];
        }
        double scale = magnitudes[frame][bin] / (Math.sqrt(x * x + y * y) + Double.MIN_NORMAL);
        spectrumReal[frame][bin] = scale * x;
        spectrumImaginary[frame][bin] = scale * y;
        beforeReal[frame][bin] = real[bin];
        beforeImaginary[frame][bin] = imaginary[bin];
      }
    }
  }
}
