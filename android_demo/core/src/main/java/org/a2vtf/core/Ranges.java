package org.a2vtf.core;

/** Checks a range of array indices. */
final class Ranges {
  private Ranges() {}

  /**
   * @throws IndexOutOfBoundsException if the range is not within {@code length} values
   */
  static void check(int length, int offset, int count) {
    if (offset < 0 || count < 0 || count > length - offset) {
      throw new IndexOutOfBoundsException(
          count + " samples from " + offset + " on, of an array of " + length);
    }
  }
}
