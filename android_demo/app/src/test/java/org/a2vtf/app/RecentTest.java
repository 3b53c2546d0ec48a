package org.a2vtf.app;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;

import org.junit.Test;

public final class RecentTest {
  @Test
  public void keepsTheLastSeconds() {
    Recent recent = new Recent();
    assertEquals(0, recent.copy().length);
    short[] block = new short[700];
    int most = Recent.SECONDS * 16_000;
    int added = 0;
    while (added < most + 5_000) {
      for (int i = 0; i < block.length; i++) {
        block[i] = (short) (added + i);
      }
      recent.add(block, 600); // the rest is not new
      added += 600;
    }
    short[] kept = recent.copy();
    assertEquals(most, kept.length);
    for (int i = 0; i < most; i++) {
      assertEquals((short) (added - most + i), kept[i]);
    }
    recent.clear();
    recent.add(new short[] {1, 2, 3}, 2);
    assertArrayEquals(new short[] {1, 2}, recent.copy());
  }
}
