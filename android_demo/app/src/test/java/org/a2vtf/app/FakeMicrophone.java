package org.a2vtf.app;

import java.io.IOException;

/** Gives a recording as fast as the controller takes it, then nothing. */
final class FakeMicrophone implements AudioSource.Factory {
  private static final int AHEAD = 8_000;

  volatile short[] sound = Sounds.silence(60);
  volatile boolean refuses;
  volatile boolean breaks;
  volatile boolean hurries;
  volatile boolean waits;
  volatile int opened;
  volatile int closed;
  private volatile Controller controller;

  /** Gives sound no faster than this controller embeds it. */
  void follow(Controller followed) {
    controller = followed;
  }

  boolean isOpen() {
    return opened > closed;
  }

  @Override
  public AudioSource open() throws IOException {
    if (refuses) {
      throw new IOException("another app holds the microphone");
    }
    opened++;
    return new AudioSource() {
      private int next;

      @Override
      public int read(short[] into, int offset, int count) {
        if (breaks) {
          return -6;
        }
        int given = Math.min(count, sound.length - next);
        if (given == 0 || waits || (!hurries && next > controller.samples() + AHEAD)) {
          pause();
          return 0;
        }
        System.arraycopy(sound, next, into, offset, given);
        next += given;
        return given;
      }

      @Override
      public void close() {
        closed++;
      }
    };
  }

  private static void pause() {
    try {
      Thread.sleep(1);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }
}
