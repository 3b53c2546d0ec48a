package org.a2vtf.runtime;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assume.assumeNotNull;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.a2vtf.core.Encoder;
import org.junit.Test;

/**
 * The model in the app gives the same bits as the same version of TensorFlow in Python, for a
 * minute of sound. Runs with {@code -DexportedModel=FOLDER}, a folder written by
 * android_demo/export_assets.py --check=FOLDER.
 */
public class ExportedModelTest {
  private static byte[] read(String name) throws IOException {
    return Golden.all(new FileInputStream(new File(System.getProperty("exportedModel"), name)));
  }

  @Test
  public void theAppsInferenceIsBitExactWithPython() throws Exception {
    assumeNotNull(System.getProperty("exportedModel"));
    float[] pcm = Golden.pcm(read("pcm.s16"));
    ByteBuffer expected = Golden.littleEndian(read("embeddings.f32"));
    Encoder encoder = Models.open(read("model.tflite"), new Models.Options());
    int hop = encoder.hopSamples();
    float[] embedding = new float[encoder.embeddingDim()];
    assertEquals(expected.remaining(), 4 * embedding.length * (pcm.length / hop));
    assertFalse("no embedding to compare", pcm.length < hop);
    for (int i = 0; i < pcm.length / hop; i++) {
      encoder.embed(Arrays.copyOfRange(pcm, i * hop, (i + 1) * hop), embedding);
      for (float value : embedding) {
        assertEquals("hop " + i, expected.getFloat(), value, 0f);
      }
    }
    encoder.close();
  }
}
