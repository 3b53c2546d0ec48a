package org.a2vtf.runtime;

import java.util.ArrayList;
import java.util.List;
import org.a2vtf.runtime.Models.ModelException;
import org.bytedeco.tensorflowlite.SignatureRunner;
import org.bytedeco.tensorflowlite.TfLiteTensor;

/** A signature without state, from rows of PCM or of embeddings to one result. */
final class Head {
  private final Tflite file;
  private final SignatureRunner runner;
  private final List<TfLiteTensor> inputs = new ArrayList<TfLiteTensor>();
  private final TfLiteTensor output;

  /**
   * @param signature name of the signature
   * @param inputs names of its inputs
   * @param output name of its output
   */
  Head(Tflite file, String signature, List<String> inputs, String output) throws ModelException {
    this.file = file;
    runner = file.signature(signature);
    List<String> taken = Tflite.inputs(runner);
    if (taken.contains("log_mel")) {
      throw new ModelException(
          "The model takes log-mel spectrograms: export it with --input=pcm.");
    }
    if (taken.size() != inputs.size() || !taken.containsAll(inputs)) {
      throw new ModelException("The model takes " + taken + ": expected " + inputs + ".");
    }
    if (!Tflite.outputs(runner).contains(output)) {
      throw new ModelException(
          "The model gives " + Tflite.outputs(runner) + ": expected \"" + output + "\".");
    }
    Tflite.allocate(runner);
    for (String name : inputs) {
      this.inputs.add(runner.input_tensor(name));
    }
    this.output = runner.output_tensor(output);
  }

  TfLiteTensor input(int index) {
    return inputs.get(index);
  }

  TfLiteTensor output() {
    return output;
  }

  /** Sets the inputs, runs, and fills the result; all lengths are those of the tensors. */
  void run(float[] result, float[]... values) {
    synchronized (file) {
      if (file.isClosed()) {
        throw new IllegalStateException("the model is closed");
      }
      for (int i = 0; i < values.length; i++) {
        inputs.get(i).data().f().put(values[i]);
      }
      Tflite.invoke(runner);
      output.data().f().get(result);
    }
  }
}
