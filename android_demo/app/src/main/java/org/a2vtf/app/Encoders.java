package org.a2vtf.app;

import java.io.IOException;
import org.a2vtf.core.Encoder;
import org.a2vtf.runtime.Models;

/** Opens model files: the TFLite runtime, or a stand-in in a test. */
public interface Encoders {
  /** @throws IOException if the file cannot be used; the message says why, for people */
  Encoder open(byte[] model, int threads, boolean xnnpack) throws IOException;

  /** @throws IOException as {@link #open} */
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
