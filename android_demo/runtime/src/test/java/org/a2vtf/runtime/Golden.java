package org.a2vtf.runtime;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Properties;

/** The golden files of android_demo/export_golden.py: models, PCM, and Python's embeddings. */
final class Golden {
  private Golden() {}

  static byte[] bytes(String name) throws IOException {
    InputStream in = Golden.class.getResourceAsStream("/golden/" + name);
    if (in == null) {
      throw new IOException("no golden/" + name + ": run python android_demo/export_golden.py");
    }
    return all(in);
  }

  /** The rest of a stream, which is then closed. */
  static byte[] all(InputStream in) throws IOException {
    try {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      byte[] buffer = new byte[8192];
      for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
        out.write(buffer, 0, n);
      }
      return out.toByteArray();
    } finally {
      in.close();
    }
  }

  static int number(String name) throws IOException {
    Properties index = new Properties();
    InputStream in = Golden.class.getResourceAsStream("/golden/index.properties");
    try {
      index.load(in);
    } finally {
      in.close();
    }
    return Integer.parseInt(index.getProperty(name));
  }

  /** The PCM of the whole stream, in [-1, 1]. */
  static float[] pcm() throws IOException {
    return pcm(bytes("pcm.s16"));
  }

  static float[] pcm(byte[] int16) {
    ByteBuffer in = littleEndian(int16);
    float[] pcm = new float[in.remaining() / 2];
    for (int i = 0; i < pcm.length; i++) {
      pcm[i] = in.getShort() / 32768f;
    }
    return pcm;
  }

  /** Python's embeddings, one per hop. */
  static float[][] embeddings(String kernels) throws IOException {
    ByteBuffer in = littleEndian(bytes("embeddings_" + kernels + ".f32"));
    float[][] embeddings = new float[number("hops")][number("embedding_dim")];
    for (float[] embedding : embeddings) {
      for (int i = 0; i < embedding.length; i++) {
        embedding[i] = in.getFloat();
      }
    }
    return embeddings;
  }

  static float[] floats(String name) throws IOException {
    ByteBuffer in = littleEndian(bytes(name));
    float[] values = new float[in.remaining() / 4];
    in.asFloatBuffer().get(values);
    return values;
  }

  static ByteBuffer littleEndian(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }
}
