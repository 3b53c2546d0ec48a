package org.a2vtf.app;

import android.content.Context;
import android.media.AudioFormat;
import android.media.AudioManager;
import android.media.AudioRecord;
import android.media.MediaRecorder;
import android.os.Process;
import java.io.IOException;
import org.a2vtf.core.LogMel;

/** The phone's microphone, with as little processing as the phone allows. */
final class Microphone implements AudioSource {
  private static final int BYTES_PER_SAMPLE = 2;
  private static final int LEAST_BUFFER_BYTES = LogMel.SAMPLE_RATE / 4 * BYTES_PER_SAMPLE;

  private final AudioRecord record;

  private Microphone(AudioRecord record) {
    this.record = record;
  }

  static AudioSource.Factory factory(final Context context) {
    return new AudioSource.Factory() {
      @Override
      public AudioSource open() throws IOException {
        return Microphone.open(context);
      }
    };
  }

  private static Microphone open(Context context) throws IOException {
    Process.setThreadPriority(Process.THREAD_PRIORITY_URGENT_AUDIO);
    int least =
        AudioRecord.getMinBufferSize(
            LogMel.SAMPLE_RATE, AudioFormat.CHANNEL_IN_MONO, AudioFormat.ENCODING_PCM_16BIT);
    if (least <= 0) {
      throw new IOException("no 16 kHz mono recording: getMinBufferSize gave " + least);
    }
    AudioRecord record;
    try {
      record =
          new AudioRecord(
              source(context),
              LogMel.SAMPLE_RATE,
              AudioFormat.CHANNEL_IN_MONO,
              AudioFormat.ENCODING_PCM_16BIT,
              Math.max(2 * least, LEAST_BUFFER_BYTES));
    } catch (IllegalArgumentException | SecurityException error) {
      throw new IOException(error.getMessage(), error);
    }
    if (record.getState() != AudioRecord.STATE_INITIALIZED) {
      record.release();
      throw new IOException("the microphone could not be initialised");
    }
    try {
      record.startRecording();
    } catch (IllegalStateException error) {
      record.release();
      throw new IOException(error.getMessage(), error);
    }
    if (record.getRecordingState() != AudioRecord.RECORDSTATE_RECORDING) {
      record.release();
      throw new IOException("another app holds the microphone");
    }
    return new Microphone(record);
  }

  /** UNPROCESSED has no gain control or noise suppression; not every phone has it. */
  private static int source(Context context) {
    AudioManager manager = context.getSystemService(AudioManager.class);
    String supported =
        manager == null
            ? null
            : manager.getProperty(AudioManager.PROPERTY_SUPPORT_AUDIO_SOURCE_UNPROCESSED);
    return Boolean.parseBoolean(supported)
        ? MediaRecorder.AudioSource.UNPROCESSED
        : MediaRecorder.AudioSource.VOICE_RECOGNITION;
  }

  @Override
  public int read(short[] into, int offset, int count) {
    return record.read(into, offset, count);
  }

  @Override
  public void close() {
    try {
      record.stop();
    } catch (IllegalStateException error) {
      // It has stopped already.
    }
    record.release();
  }
}
