package org.a2vtf.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import org.junit.Test;

public class ProjectionTest {
  @Test
  public void multipliesTheCentredEmbeddingByTheMatrix() {
    float[] matrix = {1, 2, 3, -1, 0, 0.5f};
    Projection projection = new Projection(matrix, new float[] {1, 1, 1});
    matrix[0] = 99; // it keeps a copy
    float[] xy = new float[2];
    projection.project(new float[] {2, 3, 5}, xy);
    assertArrayEquals(new float[] {1 + 4 + 12, -1 + 2}, xy, 0f);
    projection.project(new float[] {1, 1, 1}, xy);
    assertArrayEquals(new float[] {0, 0}, xy, 0f);
    assertEquals(3, projection.embeddingDim());
  }

  @Test
  public void refusesOtherLengths() {
    assertThrows(IllegalArgumentException.class, () -> new Projection(new float[5], new float[3]));
    assertThrows(IllegalArgumentException.class, () -> new Projection(new float[0], new float[0]));
    Projection projection = new Projection(new float[6], new float[3]);
    IllegalArgumentException error =
        assertThrows(
            IllegalArgumentException.class, () -> projection.project(new float[4], new float[2]));
    assertEquals("an embedding of 4 numbers: expected 3", error.getMessage());
  }
}
