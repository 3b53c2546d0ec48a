package org.a2vtf.app;

/** Keeps what it plays. */
final class FakePlayer implements Player {
  volatile short[] played; // null: silent

  @Override
  public void play(short[] pcm) {
    played = pcm;
  }

  @Override
  public void stop() {
    played = null;
  }
}
