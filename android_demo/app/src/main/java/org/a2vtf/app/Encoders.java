package org.a2vtf.app;

import java.io.IOException;
import org.a2vtf.core.Encoder;
import org.a2vtf.runtime.Models;

/** Opens model files, by the TFLite runtime or by a fake in tests. */
public interface Encoders {
  /** @throws IOException if the file cannot be used; the message tells the user why */
  Encoder open(byte[] model, int threads, boolean xnnpack) throws IOException;

  /** @throws IOException see {@link #open} */
  String describe(byte[] model) throws IOException;

  /** The TFLite runtime. */
  Encoders TFLITE =
      new Encoders() {
        @Override
        public Encoder open(byte[] model, int threads, boolean xnnpack) throws IOException {
          Models.Options options = new Models.Options();
          options.threads = threads;
          options.xnnpack = xnnpack;
          try {
            return Models.open(model, options);
          } catch (Models.ModelException error) {
            throw new IOException(error.getMessage(), error);
          }
        }

        @Override
        public String describe(byte[] model) throws IOException {
          try {
            return Models.describe(model);
          } catch (Models.ModelException error) {
            throw new IOException(error.getMessage(), error);
          }
        }
      };
}
