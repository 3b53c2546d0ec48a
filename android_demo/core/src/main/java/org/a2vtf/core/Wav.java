package org.a2vtf.core;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** WAV files with 16-bit mono samples at 16 kHz. */
public final class Wav {
  private static final int HEADER = 44;
  private static final int PCM = 1;
  private static final int EXTENSIBLE = 0xFFFE;
  private static final long UNKNOWN_LENGTH = 0xFFFFFFFFL; // of a file written to a pipe
  private static final int BLOCK = 65_536;
  private static final int LONGEST = 2 * 3600 * LogMel.SAMPLE_RATE; // bytes of an hour

  private Wav() {}

  /**
   * Reads the samples of a file.
   *
   * @param in is read to the end of the samples; it is not closed
   * @throws IOException if it is not such a file, is truncated or is longer than an hour
   */
  public static short[] read16kMono(InputStream in) throws IOException {
    DataInputStream data = new DataInputStream(in);
    try {
      return read(data);
    } catch (EOFException e) {
      throw new IOException("the WAV file ends too early", e);
    }
  }

  /**
   * Writes a file.
   *
   * @param out is flushed; it is not closed
   * @param pcm the samples
   */
  public static void write(OutputStream out, short[] pcm) throws IOException {
    int bytes = 2 * pcm.length;
    ByteBuffer file = ByteBuffer.allocate(HEADER + bytes).order(ByteOrder.LITTLE_ENDIAN);
    file.put(ascii("RIFF")).putInt(HEADER - 8 + bytes).put(ascii("WAVE"));
    file.put(ascii("fmt ")).putInt(16).putShort((short) PCM).putShort((short) 1);
    file.putInt(LogMel.SAMPLE_RATE).putInt(2 * LogMel.SAMPLE_RATE);
    file.putShort((short) 2).putShort((short) 16);
    file.put(ascii("data")).putInt(bytes);
    file.asShortBuffer().put(pcm);
    out.write(file.array());
    out.flush();
  }

  private static short[] read(DataInputStream data) throws IOException {
    if (!"RIFF".equals(readName(data))) {
      throw new IOException("not a WAV file");
    }
    readLength(data);
    if (!"WAVE".equals(readName(data))) {
      throw new IOException("not a WAV file");
    }
    boolean formatKnown = false;
    while (true) {
      String name = readName(data);
      long length = readLength(data);
      if (name.equals("data")) {
        if (!formatKnown) {
          throw new IOException("the WAV file has no format before its samples");
        }
        return samples(readBlock(data, length));
      }
      byte[] chunk = readBlock(data, length + length % 2);
      if (name.equals("fmt ")) {
        checkFormat(chunk);
        formatKnown = true;
      }
    }
  }

  private static void checkFormat(byte[] chunk) throws IOException {
    if (chunk.length < 16) {
      throw new IOException("the WAV file has a format of " + chunk.length + " bytes");
    }
    ByteBuffer format = ByteBuffer.wrap(chunk).order(ByteOrder.LITTLE_ENDIAN);
    int kind = format.getShort(0) & 0xFFFF;
    if (kind == EXTENSIBLE && chunk.length >= 26) {
      kind = format.getShort(24) & 0xFFFF;
    }
    int channels = format.getShort(2) & 0xFFFF;
    long rate = format.getInt(4) & 0xFFFFFFFFL;
    int bits = format.getShort(14) & 0xFFFF;
    if (kind != PCM || channels != 1 || rate != LogMel.SAMPLE_RATE || bits != 16) {
      throw new IOException(
          "the WAV file has "
              + channels
              + " channel(s) of "
              + bits
              + " bits at "
              + rate
              + " Hz"
              + (kind == PCM ? "" : ", and not plain PCM")
              + ": expected 1 of 16 bits at "
              + LogMel.SAMPLE_RATE
              + " Hz");
    }
  }

  private static short[] samples(byte[] bytes) {
    short[] pcm = new short[bytes.length / 2];
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asShortBuffer().get(pcm);
    return pcm;
  }

  /** Reads in blocks, so that a wrong length does not allocate gigabytes. */
  private static byte[] readBlock(DataInputStream data, long length) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    byte[] block = new byte[BLOCK];
    while (bytes.size() < length) {
      int read = data.read(block, 0, (int) Math.min(BLOCK, length - bytes.size()));
      if (read < 0 && length == UNKNOWN_LENGTH) {
        break;
      }
      if (read < 0) {
        throw new EOFException();
      }
      bytes.write(block, 0, read);
      if (bytes.size() > LONGEST) {
        throw new IOException("the WAV file is longer than an hour");
      }
    }
    return bytes.toByteArray();
  }

  private static String readName(DataInputStream data) throws IOException {
    byte[] name = new byte[4];
    data.readFully(name);
    return new String(name, StandardCharsets.US_ASCII);
  }

  private static long readLength(DataInputStream data) throws IOException {
    return Integer.reverseBytes(data.readInt()) & 0xFFFFFFFFL;
  }

  private static byte[] ascii(String name) {
    return name.getBytes(StandardCharsets.US_ASCII);
  }
}
