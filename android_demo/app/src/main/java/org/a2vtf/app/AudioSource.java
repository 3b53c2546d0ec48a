package org.a2vtf.app;

import java.io.Closeable;
import java.io.IOException;

/** Mono 16-bit PCM at 16 kHz: the phone's microphone, or a recording in a test. */
public interface AudioSource extends Closeable {
  /**
   * Waits for the next samples.
   *
   * @return the number of samples written, 0 for none yet, or a negative number if the source is
   *     lost
   */
  int read(short[] into, int offset, int count);

  @Override
  void close();

  /** Opens sources. */
  interface Factory {
    /**
     * Called on the thread that will read from the source.
     *
     * @throws IOException if the source cannot be opened
     */
    AudioSource open() throws IOException;
  }
}
