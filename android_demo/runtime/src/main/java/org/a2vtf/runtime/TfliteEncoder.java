package org.a2vtf.runtime;

import java.util.ArrayList;
import java.util.List;
import org.a2vtf.core.Encoder;
import org.a2vtf.runtime.Models.ModelException;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.tensorflowlite.SignatureRunner;
import org.bytedeco.tensorflowlite.TfLiteTensor;

/**
 * A signature from PCM to a row of numbers, with its state: the encoder, or a classifier, whose
 * scores take the place of the embedding.
 *
 * <p>Its methods are synchronised: one thread may close it while another one embeds.
 */
final class TfliteEncoder implements Encoder {
  private static final String PCM = "pcm";
  private static final String STATE = "state_";
  private static final String TRIGGER = "trigger";

  private final Tflite file;
  private final List<State> states = new ArrayList<State>();
  private final SignatureRunner embed;
  private final SignatureRunner reset; // null if the state is external
  private final TfLiteTensor pcm;
  private final TfLiteTensor embedding;
  private final int hopSamples;
  private final int embeddingDim;

  /** An external state: an output that is the input of the next call. */
  private static final class State {
    final TfLiteTensor in;
    final TfLiteTensor out;

    State(TfLiteTensor in, TfLiteTensor out) {
      this.in = in;
      this.out = out;
    }
  }

  /** Opens a streaming encoder. */
  static TfliteEncoder open(byte[] content, Models.Options options) throws ModelException {
    return Tflite.open(
        content,
        options,
        new Tflite.Loader<TfliteEncoder>() {
          @Override
          public TfliteEncoder load(Tflite file) throws ModelException {
            TfliteEncoder encoder = new TfliteEncoder(file, "embed", "embedding");
            if (!encoder.streams()) {
              throw new ModelException(
                  "This is a window model, which cannot stream: export it with --mode=streaming.");
            }
            return encoder;
          }
        });
  }

  /**
   * Finds the signature and runs it once: what cannot run shows now, not in the middle of a stream.
   *
   * @param signature name of the signature
   * @param output name of its output, {@code [1, n]}
   */
  TfliteEncoder(Tflite file, String signature, String output) throws ModelException {
    this.file = file;
    embed = file.signature(signature);
    List<String> inputs = Tflite.inputs(embed);
    checkForm(inputs, Tflite.outputs(embed), output);
    Tflite.allocate(embed);
    pcm = embed.input_tensor(PCM);
    embedding = embed.output_tensor(output);
    hopSamples = Tflite.row(pcm, PCM);
    embeddingDim = Tflite.row(embedding, output);
    for (String name : inputs) {
      if (name.startsWith(STATE)) {
        states.add(state(name));
      }
    }
    reset = file.signatures().contains("reset") ? resetOf(file) : null;
    reset();
    embed(new float[hopSamples], new float[embeddingDim]);
    reset();
  }

  private static SignatureRunner resetOf(Tflite file) throws ModelException {
    SignatureRunner runner = file.signature("reset");
    Tflite.allocate(runner);
    TfLiteTensor trigger = runner.input_tensor(TRIGGER);
    if (trigger == null) {
      throw new ModelException("The model's signature \"reset\" has no input \"trigger\".");
    }
    Tflite.fill(trigger, 0); // a signature needs an input
    return runner;
  }

  /** Refuses models without PCM input, and states that do not come back. */
  private static void checkForm(List<String> inputs, List<String> outputs, String output)
      throws ModelException {
    if (inputs.contains("log_mel")) {
      throw new ModelException(
          "The model takes log-mel spectrograms: export it with --input=pcm.");
    }
    for (String name : inputs) {
      if (name.startsWith(STATE)) {
        if (!outputs.contains(name)) {
          throw new ModelException("The model takes " + name + ", but does not give it back.");
        }
      } else if (!name.equals(PCM)) {
        throw new ModelException("The model takes \"" + name + "\": expected \"pcm\".");
      }
    }
    if (!inputs.contains(PCM)) {
      throw new ModelException("The model takes " + inputs + ": expected \"pcm\".");
    }
    if (!outputs.contains(output)) {
      throw new ModelException("The model gives " + outputs + ": expected \"" + output + "\".");
    }
  }

  private State state(String name) throws ModelException {
    TfLiteTensor in = embed.input_tensor(name);
    TfLiteTensor out = embed.output_tensor(name);
    boolean same =
        in.type() == out.type()
            && in.bytes() == out.bytes()
            && in.params().scale() == out.params().scale()
            && in.params().zero_point() == out.params().zero_point();
    if (!same) {
      throw new ModelException("The model's " + name + " goes out otherwise than it comes in.");
    }
    return new State(in, out);
  }

  /** Whether it has a state; otherwise it takes whole windows, each on its own. */
  boolean streams() {
    return reset != null || !states.isEmpty();
  }

  @Override
  public int hopSamples() {
    return hopSamples;
  }

  @Override
  public int embeddingDim() {
    return embeddingDim;
  }

  @Override
  public void embed(float[] samples, float[] into) {
    synchronized (file) {
      checkOpen();
      if (samples.length != hopSamples || into.length != embeddingDim) {
        throw new IllegalArgumentException(
            samples.length + " samples and room for " + into.length + " numbers: expected "
                + hopSamples + " and " + embeddingDim);
      }
      pcm.data().f().put(samples);
      Tflite.invoke(embed);
      embedding.data().f().get(into);
      for (State state : states) {
        Pointer.memcpy(state.in.data().data(), state.out.data().data(), state.in.bytes());
      }
    }
  }

  @Override
  public void reset() {
    synchronized (file) {
      checkOpen();
      if (reset != null) {
        Tflite.invoke(reset);
      }
      for (State state : states) {
        Tflite.fill(state.in, state.in.params().zero_point());
      }
    }
  }

  @Override
  public void close() {
    synchronized (file) {
      file.close();
    }
  }

  String describe() {
    double milliseconds = hopSamples / 16.0; // at 16 kHz
    String every =
        milliseconds == Math.rint(milliseconds)
            ? String.valueOf((long) milliseconds)
            : String.valueOf(milliseconds);
    return embeddingDim + " numbers every " + every + " ms (" + hopSamples + " samples), state "
        + (reset != null ? "inside" : "outside");
  }

  private void checkOpen() {
    if (file.isClosed()) {
      throw new IllegalStateException("the encoder is closed");
    }
  }
}
