package org.a2vtf.app;

import java.util.concurrent.Callable;

/** Waits for another thread. */
final class Wait {
  private static final long MOST_MILLIS = 300_000; // on a busy machine

  private Wait() {}

  static void until(String what, Callable<Boolean> condition) {
    long end = System.nanoTime() + MOST_MILLIS * 1_000_000;
    try {
      while (!condition.call()) {
        if (System.nanoTime() > end) {
          throw new AssertionError("timed out: " + what);
        }
        Thread.sleep(2);
      }
    } catch (AssertionError error) {
      throw error;
    } catch (Exception error) {
      throw new IllegalStateException(error);
    }
  }
}
