package org.a2vtf.core;

import java.util.Map;

/** The numbers of a front end, as {@code FrontEnd} in {@code a2v_tf/frontend.py}. */
public final class FrontEnd {
  /** The papers': 16 kHz, 25 ms every 10 ms, 64 mel bins from 60 to 7,800 Hz. */
  public static final FrontEnd PAPERS = new FrontEnd(16_000, 400, 160, 512, 64, 60, 7_800, 1e-2);

  private static final int LONGEST = 32_768;

  /** Hz. */
  public final int sampleRate;

  /** Samples in a frame's window. */
  public final int window;

  /** Samples between two frames. */
  public final int hop;

  /** Values in a frame. */
  public final int bins;

  /** Values of a frame's Fourier transform, a power of two. */
  final int fft;

  /** Whether the values are mel bins; otherwise they are bins of the Fourier transform. */
  final boolean isMel;

  /** The bin of the Fourier transform that comes first in a frame without mel bins. */
  final int firstBin;

  final double lowHz;
  final double highHz;

  /** Added to the magnitudes before the logarithm. */
  final double logOffset;

  FrontEnd(
      int sampleRate,
      int window,
      int hop,
      int fft,
      int melBins,
      double lowHz,
      double highHz,
      double logOffset) {
    boolean possible =
        sampleRate > 0
            && hop > 0
            && hop < window
            && window <= fft
            && fft <= LONGEST
            && Integer.bitCount(fft) == 1
            && melBins >= 0
            && melBins <= LONGEST
            && lowHz >= 0
            && lowHz < highHz
            && highHz <= sampleRate / 2.0
            && logOffset > 0;
    if (!possible) {
      throw new IllegalArgumentException(
          String.format(
              "no front end has %d Hz, windows of %d samples every %d, a transform of %d, %d mel"
                  + " bins from %s to %s Hz and the offset %s",
              sampleRate, window, hop, fft, melBins, lowHz, highHz, logOffset));
    }
    this.sampleRate = sampleRate;
    this.window = window;
    this.hop = hop;
    this.fft = fft;
    this.lowHz = lowHz;
    this.highHz = highHz;
    this.logOffset = logOffset;
    isMel = melBins > 0;
    double spacing = (double) sampleRate / fft;
    firstBin = (int) Math.ceil(lowHz / spacing);
    // The bin at half the sample rate is left out.
    int end = Math.min((int) Math.floor(highHz / spacing) + 1, fft / 2);
    bins = isMel ? melBins : end - firstBin;
    if (bins < 1) {
      throw new IllegalArgumentException(
          "no frequency of the transform lies between " + lowHz + " and " + highHz + " Hz");
    }
  }

  /**
   * Reads the front end from the facts of a model's metadata.
   *
   * @param facts JSON, as {@code export_tflite} writes it; without a front end, the papers' is
   *     meant, as of a file without facts
   * @throws IllegalArgumentException if there is no such front end, or the model takes no sound
   */
  public static FrontEnd ofFacts(String facts) {
    Object found = parsed(facts);
    found = found instanceof Map ? ((Map<?, ?>) found).get("front_end") : null;
    if (found == null) {
      return PAPERS;
    }
    if (!(found instanceof Map)) {
      throw new IllegalArgumentException("front_end is " + found + ": expected an object");
    }
    Map<?, ?> numbers = (Map<?, ?>) found;
    return new FrontEnd(
        whole(numbers, "sample_rate"),
        whole(numbers, "window_length"),
        whole(numbers, "hop_length"),
        whole(numbers, "fft_length"),
        whole(numbers, "mel_bins"),
        number(numbers, "mel_low_hz"),
        number(numbers, "mel_high_hz"),
        number(numbers, "log_offset"));
  }

  /** The facts; null if they are no JSON. */
  private static Object parsed(String facts) {
    try {
      return Json.parse(facts);
    } catch (IllegalArgumentException e) {
      return null;
    }
  }

  private static int whole(Map<?, ?> numbers, String name) {
    double value = number(numbers, name);
    if (value != (int) value) {
      throw new IllegalArgumentException(name + " is " + value + ": expected a whole number");
    }
    return (int) value;
  }

  private static double number(Map<?, ?> numbers, String name) {
    Object value = numbers.get(name);
    if (!(value instanceof Double)) {
      throw new IllegalArgumentException(name + " is " + value + ": expected a number");
    }
    return (Double) value;
  }
}
