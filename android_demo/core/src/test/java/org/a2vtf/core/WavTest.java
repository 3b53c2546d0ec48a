package org.a2vtf.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Random;
import javax.sound.sampled.AudioFormat;
import javax.sound.sampled.AudioInputStream;
import javax.sound.sampled.AudioSystem;
import org.junit.Test;

public class WavTest {
  private static final short[] PCM = {0, 1, -1, Short.MAX_VALUE, Short.MIN_VALUE, 258};

  @Test
  public void readsWhatItWrites() throws Exception {
    short[] pcm = new short[100_001];
    Random random = new Random(1);
    for (int i = 0; i < pcm.length; i++) {
      pcm[i] = (short) random.nextInt();
    }
    assertArrayEquals(pcm, read(write(pcm)));
    assertArrayEquals(new short[0], read(write(new short[0])));
  }

  @Test
  public void othersReadWhatItWrites() throws Exception {
    InputStream file = new ByteArrayInputStream(write(PCM));
    AudioInputStream audio = AudioSystem.getAudioInputStream(file);
    AudioFormat format = audio.getFormat();
    assertEquals(AudioFormat.Encoding.PCM_SIGNED, format.getEncoding());
    assertEquals(16_000f, format.getSampleRate(), 0f);
    assertEquals(1, format.getChannels());
    assertEquals(16, format.getSampleSizeInBits());
    assertEquals(PCM.length, audio.getFrameLength());
  }

  @Test
  public void readsStreamsInSmallBlocks() throws Exception {
    InputStream slow =
        new ByteArrayInputStream(write(PCM)) {
          @Override
          public synchronized int read(byte[] into, int offset, int count) {
            return super.read(into, offset, Math.min(count, 3));
          }
        };
    assertArrayEquals(PCM, Wav.read16kMono(slow));
  }

  @Test
  public void skipsUnknownChunks() throws Exception {
    byte[] file =
        join(
            riff(),
            format(1, 1, 16_000, 16),
            chunk("LIST", new byte[7]),
            new byte[1],
            chunk("data", bytes(PCM)),
            chunk("id3 ", new byte[4]));
    assertArrayEquals(PCM, read(file));
  }

  @Test
  public void readsTheExtensibleFormat() throws Exception {
    byte[] format = new byte[40];
    ByteBuffer.wrap(format)
        .order(ByteOrder.LITTLE_ENDIAN)
        .put(formatBytes(0xFFFE, 1, 16_000, 16))
        .putShort((short) 22)
        .putShort((short) 16)
        .putInt(4)
        .putShort((short) 1);
    assertArrayEquals(PCM, read(join(riff(), chunk("fmt ", format), chunk("data", bytes(PCM)))));
    format[24] = 3; // float
    assertRefused(join(riff(), chunk("fmt ", format), chunk("data", bytes(PCM))), "not plain PCM");
  }

  @Test
  public void readsFilesWrittenToAPipe() throws Exception {
    byte[] file = write(PCM);
    Arrays.fill(file, 40, 44, (byte) 0xFF);
    assertArrayEquals(PCM, read(file));
  }

  @Test
  public void describesErrorsInFiles() throws Exception {
    assertRefused(new byte[0], "ends too early");
    assertRefused("hello, world, this is text".getBytes("UTF-8"), "not a WAV file");
    assertRefused(
        join("RIFF".getBytes("UTF-8"), new byte[4], "AVI ".getBytes("UTF-8")), "not a WAV file");
    byte[] data = chunk("data", bytes(PCM));
    assertRefused(join(riff(), format(1, 2, 16_000, 16), data), "2 channel(s) of 16 bits");
    assertRefused(join(riff(), format(1, 1, 44_100, 16), data), "at 44100 Hz: expected");
    assertRefused(join(riff(), format(1, 1, 16_000, 24), data), "of 24 bits");
    assertRefused(join(riff(), format(3, 1, 16_000, 32), data), "not plain PCM");
    assertRefused(join(riff(), chunk("fmt ", new byte[4]), data), "a format of 4 bytes");
    assertRefused(join(riff(), data), "no format before its samples");
    assertRefused(join(riff(), format(1, 1, 16_000, 16)), "ends too early");
    byte[] whole = write(PCM);
    for (int length = 4; length < whole.length; length++) {
      assertRefused(Arrays.copyOf(whole, length), "ends too early");
    }
    byte[] huge = write(PCM);
    Arrays.fill(huge, 40, 43, (byte) 0xF0); // gigabytes that are not there
    assertRefused(huge, "ends too early");
  }

  @Test
  public void refusesEndlessFiles() {
    byte[] header = new byte[44];
    System.arraycopy(writeUnchecked(new short[0]), 0, header, 0, 44);
    Arrays.fill(header, 40, 44, (byte) 0xFF);
    InputStream endless =
        new InputStream() {
          private int at;

          @Override
          public int read() {
            return at < 44 ? header[at++] & 0xFF : 0;
          }

          @Override
          public int read(byte[] into, int offset, int count) {
            for (int i = 0; i < count; i++) {
              into[offset + i] = (byte) read();
            }
            return count;
          }
        };
    IOException error = assertThrows(IOException.class, () -> Wav.read16kMono(endless));
    assertEquals("the WAV file is longer than an hour", error.getMessage());
  }

  private static void assertRefused(byte[] file, String expected) {
    IOException error = assertThrows(expected, IOException.class, () -> read(file));
    assertTrue(error.getMessage(), error.getMessage().contains(expected));
  }

  private static short[] read(byte[] file) throws IOException {
    return Wav.read16kMono(new ByteArrayInputStream(file));
  }

  private static byte[] write(short[] pcm) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    Wav.write(out, pcm);
    return out.toByteArray();
  }

  private static byte[] writeUnchecked(short[] pcm) {
    try {
      return write(pcm);
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }

  private static byte[] riff() {
    return join(
        "RIFF".getBytes(StandardCharsets.US_ASCII),
        new byte[4],
        "WAVE".getBytes(StandardCharsets.US_ASCII));
  }

  private static byte[] format(int kind, int channels, int rate, int bits) {
    return chunk("fmt ", formatBytes(kind, channels, rate, bits));
  }

  private static byte[] formatBytes(int kind, int channels, int rate, int bits) {
    int frame = channels * bits / 8;
    return ByteBuffer.allocate(16)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putShort((short) kind)
        .putShort((short) channels)
        .putInt(rate)
        .putInt(rate * frame)
        .putShort((short) frame)
        .putShort((short) bits)
        .array();
  }

  private static byte[] bytes(short[] pcm) {
    ByteBuffer bytes = ByteBuffer.allocate(2 * pcm.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asShortBuffer().put(pcm);
    return bytes.array();
  }

  private static byte[] chunk(String name, byte[] content) {
    return ByteBuffer.allocate(8 + content.length)
        .order(ByteOrder.LITTLE_ENDIAN)
        .put(name.getBytes(StandardCharsets.US_ASCII))
        .putInt(content.length)
        .put(content)
        .array();
  }

  private static byte[] join(byte[]... parts) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      out.write(part, 0, part.length);
    }
    return out.toByteArray();
  }
}
