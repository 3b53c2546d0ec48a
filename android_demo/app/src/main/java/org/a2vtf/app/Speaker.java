package org.a2vtf.app;

import android.media.AudioAttributes;
import android.media.AudioFormat;
import android.media.AudioTrack;
import org.a2vtf.core.LogMel;

/** The phone's loudspeaker or headphones. */
final class Speaker implements Player {
  private Thread thread;
  private AudioTrack track;

  @Override
  public void play(final short[] pcm) {
    stop();
    synchronized (this) {
      thread =
          new Thread("a2v-play") {
            @Override
            public void run() {
              playOn(this, pcm);
            }
          };
      thread.start();
    }
  }

  @Override
  public synchronized void stop() {
    thread = null;
    if (track != null) {
      track.release(); // stops it too
      track = null;
    }
  }

  /** Fills a track and starts it, unless another sound was asked for meanwhile. */
  private void playOn(Thread asked, short[] pcm) {
    AudioTrack filled;
    try {
      filled =
          new AudioTrack.Builder()
              .setAudioAttributes(
                  new AudioAttributes.Builder()
                      .setUsage(AudioAttributes.USAGE_MEDIA)
                      .setContentType(AudioAttributes.CONTENT_TYPE_UNKNOWN)
                      .build())
              .setAudioFormat(
                  new AudioFormat.Builder()
                      .setEncoding(AudioFormat.ENCODING_PCM_16BIT)
                      .setSampleRate(LogMel.SAMPLE_RATE)
                      .setChannelMask(AudioFormat.CHANNEL_OUT_MONO)
                      .build())
              .setTransferMode(AudioTrack.MODE_STATIC)
              .setBufferSizeInBytes(2 * pcm.length)
              .build();
    } catch (UnsupportedOperationException error) {
      return; // no output at all
    }
    filled.write(pcm, 0, pcm.length);
    synchronized (this) {
      if (thread == asked && filled.getState() == AudioTrack.STATE_INITIALIZED) {
        track = filled;
        track.play();
      } else {
        filled.release();
      }
    }
  }
}
