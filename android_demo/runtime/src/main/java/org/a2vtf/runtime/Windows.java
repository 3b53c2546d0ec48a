package org.a2vtf.runtime;

import java.util.Arrays;

/** Pieces of a recording. */
final class Windows {
  private Windows() {}

  /** @throws IndexOutOfBoundsException if the piece is not within the recording */
  static float[] endingAt(float[] recording, int end, int samples) {
    if (end < samples || end > recording.length) {
      throw new IndexOutOfBoundsException(
          samples + " samples before " + end + ", of a recording of " + recording.length);
    }
    return Arrays.copyOfRange(recording, end - samples, end);
  }
}
