package org.a2vtf.app;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.Random;
import org.a2vtf.core.Wav;

/** Sounds for a fake microphone. */
final class Sounds {
  private static final int RATE = 16_000;

  private Sounds() {}

  /** Two falling bells, repeated. */
  static short[] doorbell(double seconds) {
    short[] sound = new short[(int) (seconds * RATE)];
    for (int i = 0; i < sound.length; i++) {
      double t = i / (double) RATE % 1.2;
      double since = t < 0.5 ? t : t - 0.5;
      double hz = t < 0.5 ? 784 : 622;
      double value = 0;
      for (int partial = 1; partial <= 4; partial++) {
        value += Math.sin(2 * Math.PI * hz * partial * since) / partial;
      }
      sound[i] = scaled(0.3 * value * Math.exp(-3.5 * since));
    }
    return sound;
  }

  /** A whistle that rises and falls. */
  static short[] whistle(double seconds) {
    short[] sound = new short[(int) (seconds * RATE)];
    double phase = 0;
    for (int i = 0; i < sound.length; i++) {
      double t = i / (double) RATE;
      phase += 2 * Math.PI * (2_000 + 900 * Math.sin(2 * Math.PI * t / 0.8)) / RATE;
      sound[i] = scaled(0.3 * Math.sin(phase));
    }
    return sound;
  }

  /** Claps: short bursts of noise, three in a second. */
  static short[] claps(double seconds) {
    Random random = new Random(1);
    short[] sound = new short[(int) (seconds * RATE)];
    for (int i = 0; i < sound.length; i++) {
      double since = i / (double) RATE % 0.33;
      sound[i] = scaled(0.5 * random.nextGaussian() * Math.exp(-35 * since));
    }
    return sound;
  }

  /** The sound with background noise. */
  static short[] inRoom(short[] sound) {
    Random random = new Random(2);
    short[] mixed = new short[sound.length];
    double murmur = 0;
    for (int i = 0; i < sound.length; i++) {
      murmur = 0.97 * murmur + 0.0015 * random.nextGaussian();
      mixed[i] = scaled(sound[i] / 32_768.0 + murmur + 0.0003 * random.nextGaussian());
    }
    return mixed;
  }

  static short[] silence(double seconds) {
    return new short[(int) (seconds * RATE)];
  }

  static short[] join(short[]... parts) {
    int length = 0;
    for (short[] part : parts) {
      length += part.length;
    }
    short[] all = new short[length];
    int at = 0;
    for (short[] part : parts) {
      System.arraycopy(part, 0, all, at, part.length);
      at += part.length;
    }
    return all;
  }

  /** The same samples, written to and read from a WAV file. */
  static short[] throughWav(short[] sound) throws IOException {
    ByteArrayOutputStream file = new ByteArrayOutputStream();
    Wav.write(file, sound);
    return Wav.read16kMono(new ByteArrayInputStream(file.toByteArray()));
  }

  private static short scaled(double value) {
    return (short) Math.round(32_767 * Math.max(-1, Math.min(1, value)));
  }
}
