package org.a2vtf.core;

import static org.junit.Assert.assertNotNull;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.StringReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Properties;

/** The golden files of {@code export_golden.py}. */
final class Golden {
  private Golden() {}

  static byte[] bytes(String name) throws IOException {
    try (InputStream in = Golden.class.getResourceAsStream("/golden/" + name)) {
      assertNotNull("no golden file " + name, in);
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      byte[] block = new byte[4096];
      for (int read = in.read(block); read >= 0; read = in.read(block)) {
        out.write(block, 0, read);
      }
      return out.toByteArray();
    }
  }

  static String text(String name) throws IOException {
    return new String(bytes(name), StandardCharsets.UTF_8);
  }

  static Properties properties(String name) throws IOException {
    Properties properties = new Properties();
    properties.load(new StringReader(text(name)));
    return properties;
  }

  static float[] floats(String name) throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap(bytes(name)).order(ByteOrder.LITTLE_ENDIAN);
    float[] values = new float[bytes.remaining() / 4];
    bytes.asFloatBuffer().get(values);
    return values;
  }

  static short[] pcm(String name) throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap(bytes(name)).order(ByteOrder.LITTLE_ENDIAN);
    short[] values = new short[bytes.remaining() / 2];
    bytes.asShortBuffer().get(values);
    return values;
  }

  /** int16 to [-1, 1). */
  static float[] wave(short[] pcm) {
    float[] wave = new float[pcm.length];
    for (int i = 0; i < pcm.length; i++) {
      wave[i] = pcm[i] / 32_768f;
    }
    return wave;
  }
}
