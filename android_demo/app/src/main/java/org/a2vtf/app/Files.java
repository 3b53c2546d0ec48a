package org.a2vtf.app;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.Charset;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** Reads and writes files. */
final class Files {
  static final Charset UTF8 = Charset.forName("UTF-8");
  private static final int BLOCK = 1 << 16;

  private Files() {}

  static byte[] read(File file) throws IOException {
    try (InputStream in = new FileInputStream(file)) {
      return read(in, Integer.MAX_VALUE);
    }
  }

  /** @throws IOException or if there are more than {@code most} bytes */
  static byte[] read(InputStream in, int most) throws IOException {
    ByteArrayOutputStream content = new ByteArrayOutputStream();
    byte[] block = new byte[BLOCK];
    for (int read = in.read(block); read >= 0; read = in.read(block)) {
      content.write(block, 0, read);
      if (content.size() > most) {
        throw new IOException("larger than " + most / (1 << 20) + " MB");
      }
    }
    return content.toByteArray();
  }

  /** Replaces a file atomically: a reader sees either the old or the new content. */
  static void write(File file, byte[] content) throws IOException {
    File part = new File(file.getPath() + ".part");
    try (FileOutputStream out = new FileOutputStream(part)) {
      out.write(content);
      out.getFD().sync();
    }
    if (!part.renameTo(file)) {
      throw new IOException("cannot replace " + file.getName());
    }
  }

  /** The first 16 hexadecimal digits of the SHA-256 hash. */
  static String hash(byte[] content) {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(content);
      StringBuilder text = new StringBuilder();
      for (int i = 0; i < 8; i++) {
        text.append(String.format(java.util.Locale.ROOT, "%02x", digest[i]));
      }
      return text.toString();
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
  }
}
