package org.a2vtf.core;

/**
 * Colour maps from dark to bright: Matplotlib's (CC0), each interpolated linearly from 18 of its
 * 256 colours, with an error of at most 6 of 255.
 */
public final class ColourMap {
  /** From black through red to a pale yellow. */
  public static final ColourMap MAGMA =
      new ColourMap(
          0x000004, 0x090720, 0x1A1042, 0x311165, 0x4A1079, 0x621980, 0x792282, 0x912B81, 0xAA337D,
          0xC23B75, 0xD9466B, 0xEC5860, 0xF7725C, 0xFC8E64, 0xFEAA74, 0xFEC68A, 0xFDE2A3, 0xFCFDBF);

  /** From violet through green to yellow. */
  public static final ColourMap VIRIDIS =
      new ColourMap(
          0x440154, 0x481769, 0x472A7A, 0x433D84, 0x3D4E8A, 0x355E8D, 0x2E6D8E, 0x297B8E, 0x23898E,
          0x1F978B, 0x21A585, 0x2EB37C, 0x46C06F, 0x65CB5E, 0x89D548, 0xB0DD2F, 0xD8E219, 0xFDE725);

  private static final int LAST = 255;

  private final int[] colours = new int[LAST + 1];

  private ColourMap(int... rgb) {
    for (int i = 0; i <= LAST; i++) {
      double place = (double) i * (rgb.length - 1) / LAST;
      int before = Math.min((int) place, rgb.length - 2);
      colours[i] = between(rgb[before], rgb[before + 1], place - before);
    }
  }

  /**
   * The opaque colour of a value, as an Android colour int.
   *
   * @param value from 0 (dark) to 1 (bright); other values are clipped, NaN counts as 0
   */
  public int argb(float value) {
    return colours[Math.round(LAST * Math.max(0f, Math.min(1f, value)))];
  }

  private static int between(int from, int to, double share) {
    int argb = 0xFF;
    for (int shift = 16; shift >= 0; shift -= 8) {
      int start = from >> shift & 0xFF;
      int end = to >> shift & 0xFF;
      argb = argb << 8 | (int) Math.round(start + share * (end - start));
    }
    return argb;
  }
}
