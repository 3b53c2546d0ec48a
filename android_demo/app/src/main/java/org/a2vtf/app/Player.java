package org.a2vtf.app;

/** Plays mono 16-bit sound at 16 kHz. */
interface Player {
  /** Plays a sound instead of the present one; returns at once. */
  void play(short[] pcm);

  void stop();
}
