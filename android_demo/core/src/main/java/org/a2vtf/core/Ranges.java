package org.a2vtf.core;

/** Checks which part of an array a caller gave. */
final class Ranges {
  private Ranges() {}

  /**
   * @throws IndexOutOfBoundsException if the part is not within {@code length} values
   */
  static void check(int length, int offset, int count) {
    if (offset < 0 || count < 0 || count > length - offset) {
      throw new IndexOutOfBoundsException(
          count + " samples from " + offset + " on, of an array of " + length);
    }
  }
}
