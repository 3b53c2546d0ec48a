package org.a2vtf.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class ColourMapTest {
  private static final ColourMap[] MAPS = {ColourMap.MAGMA, ColourMap.VIRIDIS};
  private static final String[] NAMES = {"magma", "viridis"};

  @Test
  public void equalMatplotlibs() throws Exception {
    for (int map = 0; map < MAPS.length; map++) {
      byte[] rgb = Golden.bytes("colours/" + NAMES[map] + ".rgb");
      assertEquals(3 * 256, rgb.length);
      for (int i = 0; i < 256; i++) {
        int argb = MAPS[map].argb(i / 255f);
        assertEquals(0xFF, argb >>> 24);
        for (int channel = 0; channel < 3; channel++) {
          int want = rgb[3 * i + channel] & 0xFF;
          assertEquals(want, argb >> 16 - 8 * channel & 0xFF, 6);
        }
      }
    }
  }

  @Test
  public void brightnessIncreases() {
    for (ColourMap map : MAPS) {
      for (int i = 3; i < 256; i++) {
        double here = brightness(map, i / 255f);
        assertTrue(here > brightness(map, (i - 3) / 255f));
        // Levels are whole numbers: one of red may be lost from a step to the next.
        assertTrue(here > brightness(map, (i - 1) / 255f) - 3e-4);
      }
    }
  }

  @Test
  public void valuesAreClipped() {
    for (ColourMap map : MAPS) {
      assertEquals(map.argb(0), map.argb(-3));
      assertEquals(map.argb(0), map.argb(Float.NEGATIVE_INFINITY));
      assertEquals(map.argb(0), map.argb(Float.NaN));
      assertEquals(map.argb(1), map.argb(1.5f));
      assertEquals(map.argb(1), map.argb(Float.POSITIVE_INFINITY));
    }
    assertEquals(0xFF000004, ColourMap.MAGMA.argb(0));
    assertEquals(0xFFFDE725, ColourMap.VIRIDIS.argb(1));
  }

  /** Of Rec. 709. */
  private static double brightness(ColourMap map, float value) {
    int argb = map.argb(value);
    return 0.2126 * linear(argb >> 16) + 0.7152 * linear(argb >> 8) + 0.0722 * linear(argb);
  }

  private static double linear(int channel) {
    double value = (channel & 0xFF) / 255.0;
    return value <= 0.04045 ? value / 12.92 : Math.pow((value + 0.055) / 1.055, 2.4);
  }
}
