package org.a2vtf.runtime;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.a2vtf.core.Encoder;
import org.a2vtf.runtime.Models.ModelException;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerPointer;
import org.bytedeco.tensorflowlite.BuiltinOpResolver;
import org.bytedeco.tensorflowlite.BuiltinOpResolverWithoutDefaultDelegates;
import org.bytedeco.tensorflowlite.FlatBufferModel;
import org.bytedeco.tensorflowlite.Interpreter;
import org.bytedeco.tensorflowlite.InterpreterBuilder;
import org.bytedeco.tensorflowlite.OpResolver;
import org.bytedeco.tensorflowlite.SignatureRunner;
import org.bytedeco.tensorflowlite.StringVector;
import org.bytedeco.tensorflowlite.TfLiteTensor;
import org.bytedeco.tensorflowlite.global.tensorflowlite;

/**
 * A streaming model run by TFLite's C++ API, through JavaCPP, on the JVM and on Android.
 *
 * <p>Its methods are synchronised: one thread may close it while another one embeds.
 */
final class TfliteEncoder implements Encoder {
  private static final String PCM = "pcm";
  private static final String EMBEDDING = "embedding";
  private static final String STATE = "state_";
  private static final String TRIGGER = "trigger";
  private static final int MOST = 1 << 20; // numbers in a row: a minute of sound

  // The order of lifetimes: the file's bytes outlive the model; the model and the resolver outlive
  // the interpreter. They are closed in reverse order.
  private final List<Pointer> owned = new ArrayList<Pointer>();
  private final List<State> states = new ArrayList<State>();
  private SignatureRunner embed;
  private SignatureRunner reset; // null if the state is external
  private TfLiteTensor pcm;
  private TfLiteTensor embedding;
  private int hopSamples;
  private int embeddingDim;

  /** An external state: an output that is the input of the next call. */
  private static final class State {
    final TfLiteTensor in;
    final TfLiteTensor out;

    State(TfLiteTensor in, TfLiteTensor out) {
      this.in = in;
      this.out = out;
    }
  }

  private TfliteEncoder() {}

  static TfliteEncoder open(byte[] content, Models.Options options) throws ModelException {
    String flaw = Verify.flaw(content);
    if (Verify.NO_MODEL.equals(flaw)) {
      throw new ModelException("This is not a TFLite model.");
    }
    if (flaw != null) {
      throw new ModelException("This TFLite model is damaged: " + flaw + ".");
    }
    TfliteEncoder encoder = new TfliteEncoder();
    boolean opened = false;
    try {
      encoder.load(content, options);
      encoder.reset();
      // What cannot run shows now, not in the middle of a stream.
      encoder.embed(new float[encoder.hopSamples], new float[encoder.embeddingDim]);
      encoder.reset();
      opened = true;
    } catch (RuntimeException e) { // TFLite's, and null for a part that is missing
      throw new ModelException("This TFLite cannot run the model.", e);
    } catch (LinkageError e) {
      throw new ModelException("TFLite does not load on this device: " + e.getMessage(), e);
    } finally {
      if (!opened) {
        encoder.close();
      }
    }
    return encoder;
  }

  private void load(byte[] content, Models.Options options) throws ModelException {
    Interpreter interpreter = interpreter(content, options);
    List<String> signatures = keys(interpreter);
    if (!signatures.contains("embed")) {
      throw new ModelException(
          "The model has the signatures " + signatures + ": expected \"embed\", which files of"
              + " export_tflite have.");
    }
    embed = interpreter.GetSignatureRunner("embed");
    List<String> inputs = names(embed.input_names(), embed.input_size());
    List<String> outputs = names(embed.output_names(), embed.output_size());
    checkForm(inputs, outputs, signatures.contains("reset"));
    allocate(embed);
    pcm = embed.input_tensor(PCM);
    embedding = embed.output_tensor(EMBEDDING);
    hopSamples = row(pcm, PCM);
    embeddingDim = row(embedding, EMBEDDING);
    for (String name : inputs) {
      if (name.startsWith(STATE)) {
        states.add(state(name));
      }
    }
    if (signatures.contains("reset")) {
      reset = interpreter.GetSignatureRunner("reset");
      allocate(reset);
      TfLiteTensor trigger = reset.input_tensor(TRIGGER);
      if (trigger == null) {
        throw new ModelException("The model's signature \"reset\" has no input \"trigger\".");
      }
      fill(trigger, 0); // a signature needs an input
    }
  }

  private Interpreter interpreter(byte[] content, Models.Options options) throws ModelException {
    BytePointer bytes = own(new BytePointer(content));
    FlatBufferModel model = FlatBufferModel.VerifyAndBuildFromBuffer(bytes, content.length);
    if (model == null || model.isNull()) {
      throw new ModelException("This TFLite model is damaged.");
    }
    own(model);
    OpResolver resolver =
        own(
            options.xnnpack
                ? new BuiltinOpResolver()
                : new BuiltinOpResolverWithoutDefaultDelegates());
    Interpreter interpreter = new Interpreter((Pointer) null);
    InterpreterBuilder builder = new InterpreterBuilder(model, resolver);
    try {
      builder.SetNumThreads(options.threads);
      if (builder.apply(interpreter) != tensorflowlite.kTfLiteOk || interpreter.isNull()) {
        throw new ModelException("This TFLite cannot run the model: an op is unknown to it.");
      }
    } finally {
      builder.close();
    }
    return own(interpreter);
  }

  /** Refuses models other than streaming models with PCM input. */
  private static void checkForm(List<String> inputs, List<String> outputs, boolean hasReset)
      throws ModelException {
    if (inputs.contains("log_mel")) {
      throw new ModelException(
          "The model takes log-mel spectrograms: export it with --input=pcm.");
    }
    boolean streams = hasReset;
    for (String name : inputs) {
      if (name.startsWith(STATE)) {
        streams = true;
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
    if (!outputs.contains(EMBEDDING)) {
      throw new ModelException("The model gives " + outputs + ": expected \"embedding\".");
    }
    if (!streams) {
      throw new ModelException(
          "This is a window model, which cannot stream: export it with --mode=streaming.");
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

  @Override
  public int hopSamples() {
    return hopSamples;
  }

  @Override
  public int embeddingDim() {
    return embeddingDim;
  }

  @Override
  public synchronized void embed(float[] samples, float[] into) {
    checkOpen();
    if (samples.length != hopSamples || into.length != embeddingDim) {
      throw new IllegalArgumentException(
          samples.length + " samples and room for " + into.length + " numbers: expected "
              + hopSamples + " and " + embeddingDim);
    }
    pcm.data().f().put(samples);
    invoke(embed);
    embedding.data().f().get(into);
    for (State state : states) {
      Pointer.memcpy(state.in.data().data(), state.out.data().data(), state.in.bytes());
    }
  }

  @Override
  public synchronized void reset() {
    checkOpen();
    if (reset != null) {
      invoke(reset);
    }
    for (State state : states) {
      fill(state.in, state.in.params().zero_point());
    }
  }

  @Override
  public synchronized void close() {
    embed = null;
    reset = null;
    states.clear();
    Collections.reverse(owned);
    for (Pointer pointer : owned) {
      pointer.close();
    }
    owned.clear();
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
    if (embed == null) {
      throw new IllegalStateException("the encoder is closed");
    }
  }

  private <P extends Pointer> P own(P pointer) {
    owned.add(pointer);
    return pointer;
  }

  private static void invoke(SignatureRunner runner) {
    if (runner.Invoke() != tensorflowlite.kTfLiteOk) {
      throw new IllegalStateException("TFLite failed to run the model");
    }
  }

  private static void allocate(SignatureRunner runner) throws ModelException {
    if (runner.AllocateTensors() != tensorflowlite.kTfLiteOk) {
      throw new ModelException("This TFLite cannot run the model: it refused its tensors.");
    }
  }

  /** The n of a float32 tensor with shape [1, n]. */
  private static int row(TfLiteTensor tensor, String name) throws ModelException {
    List<Integer> shape = new ArrayList<Integer>();
    for (int i = 0; i < tensor.dims().size(); i++) {
      shape.add(tensor.dims().data(i));
    }
    boolean floats = tensor.type() == tensorflowlite.kTfLiteFloat32;
    boolean row = shape.size() == 2 && shape.get(0) == 1;
    if (!floats || !row || shape.get(1) < 1 || shape.get(1) > MOST) {
      throw new ModelException(
          "The model's " + name + " has the shape " + shape + (floats ? "" : ", not of float32")
              + ": expected float32 [1, n].");
    }
    return shape.get(1);
  }

  /** Sets a tensor to real zeros. Only int8 has nonzero zero points, so filling bytes suffices. */
  private static void fill(TfLiteTensor tensor, int zeroPoint) {
    Pointer.memset(tensor.data().data(), zeroPoint, tensor.bytes());
  }

  private static List<String> keys(Interpreter interpreter) {
    List<String> keys = new ArrayList<String>();
    StringVector vector = interpreter.signature_keys();
    for (long i = 0; i < vector.size(); i++) {
      keys.add(vector.get(i).getString());
    }
    return keys;
  }

  private static List<String> names(PointerPointer<?> pointers, long count) {
    List<String> names = new ArrayList<String>();
    for (long i = 0; i < count; i++) {
      names.add(new BytePointer(pointers.get(i)).getString());
    }
    return names;
  }
}
