package org.a2vtf.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class NoveltyTest {
  @Test
  public void equalsTheCosineDistanceFromTheMean() {
    Novelty novelty = new Novelty(3);
    assertEquals(0, novelty.next(new float[] {1, 0}), 0);
    assertEquals(0, novelty.next(new float[] {5, 0}), 1e-12); // louder is not newer
    assertEquals(1, novelty.next(new float[] {0, 6}), 1e-12); // from (3, 0)
    assertEquals(1 - 1 / Math.sqrt(2), novelty.next(new float[] {2, 0}), 1e-12); // (2, 2)
    double cosine = -7 / Math.hypot(7, 6); // the first is forgotten: from (7, 6) / 3
    assertEquals(1 - cosine, novelty.next(new float[] {-1, 0}), 1e-12);
  }

  @Test
  public void theOppositeIsTwo() {
    Novelty novelty = new Novelty();
    novelty.next(new float[] {0.3f, -0.7f});
    assertEquals(2, novelty.next(new float[] {-0.3f, 0.7f}), 1e-12);
  }

  @Test
  public void keepsCopies() {
    Novelty novelty = new Novelty();
    float[] reused = {1, 0};
    novelty.next(reused);
    reused[0] = 0;
    reused[1] = 1;
    assertEquals(1, novelty.next(reused), 1e-12);
  }

  @Test
  public void zerosHaveNoDirection() {
    Novelty novelty = new Novelty();
    novelty.next(new float[2]);
    assertEquals(0, novelty.next(new float[2]), 0);
    assertEquals(1, novelty.next(new float[] {0, 1}), 0);
    assertEquals(1, novelty.next(new float[2]), 0);
  }

  @Test
  public void resetForgets() {
    Novelty novelty = new Novelty(2);
    novelty.next(new float[] {1, 0});
    assertTrue(novelty.next(new float[] {0, 1}) > 0.9);
    novelty.reset();
    assertEquals(0, novelty.next(new float[] {0, 1, 2}), 0); // of another model
    assertEquals(0, novelty.next(new float[] {0, 1, 2}), 1e-12);
  }

  @Test
  public void remembersSomething() {
    assertThrows(IllegalArgumentException.class, () -> new Novelty(0));
  }
}
