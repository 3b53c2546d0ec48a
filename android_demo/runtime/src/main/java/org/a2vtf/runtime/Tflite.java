package org.a2vtf.runtime;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
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
 * An opened file and TFLite's interpreter of it, by its C++ API through JavaCPP, on the JVM and on
 * Android. Whoever runs signatures of it synchronises on this object.
 */
final class Tflite {
  /** Numbers in a row: a minute of sound. */
  private static final int MOST = 1 << 20;

  // The order of lifetimes: the file's bytes outlive the model; the model and the resolver outlive
  // the interpreter. They are closed in reverse order.
  private final List<Pointer> owned = new ArrayList<Pointer>();
  private Interpreter interpreter;

  private Tflite() {}

  /** Makes what a file is used for. */
  interface Loader<T> {
    /** Finds the signatures, and runs what must run; a RuntimeException means that it does not. */
    T load(Tflite file) throws ModelException;
  }

  /** Checks and opens a file; if that or the loader fails, the file is closed. */
  static <T> T open(byte[] content, Models.Options options, Loader<T> loader)
      throws ModelException {
    String flaw = Verify.flaw(content);
    if (Verify.NO_MODEL.equals(flaw)) {
      throw new ModelException("This is not a TFLite model.");
    }
    if (flaw != null) {
      throw new ModelException("This TFLite model is damaged: " + flaw + ".");
    }
    Tflite file = new Tflite();
    boolean opened = false;
    try {
      file.interpret(content, options);
      T loaded = loader.load(file);
      opened = true;
      return loaded;
    } catch (RuntimeException e) { // TFLite's, and null for a part that is missing
      throw new ModelException("This TFLite cannot run the model.", e);
    } catch (LinkageError e) {
      throw new ModelException("TFLite does not load on this device: " + e.getMessage(), e);
    } finally {
      if (!opened) {
        file.close();
      }
    }
  }

  private void interpret(byte[] content, Models.Options options) throws ModelException {
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
    Interpreter built = new Interpreter((Pointer) null);
    InterpreterBuilder builder = new InterpreterBuilder(model, resolver);
    try {
      builder.SetNumThreads(options.threads);
      if (builder.apply(built) != tensorflowlite.kTfLiteOk || built.isNull()) {
        throw new ModelException("This TFLite cannot run the model: an op is unknown to it.");
      }
    } finally {
      builder.close();
    }
    interpreter = own(built);
  }

  /** The names of the signatures. */
  List<String> signatures() {
    List<String> keys = new ArrayList<String>();
    StringVector vector = interpreter.signature_keys();
    for (long i = 0; i < vector.size(); i++) {
      keys.add(vector.get(i).getString());
    }
    return keys;
  }

  /** A signature, whose tensors are not allocated. */
  SignatureRunner signature(String key) throws ModelException {
    List<String> keys = signatures();
    if (!keys.contains(key)) {
      throw new ModelException(
          "The model has the signatures " + keys + ": expected \"" + key + "\", which files of"
              + " export_tflite have.");
    }
    return interpreter.GetSignatureRunner(key);
  }

  boolean isClosed() {
    return interpreter == null;
  }

  void close() {
    interpreter = null;
    Collections.reverse(owned);
    for (Pointer pointer : owned) {
      pointer.close();
    }
    owned.clear();
  }

  private <P extends Pointer> P own(P pointer) {
    owned.add(pointer);
    return pointer;
  }

  // Signatures and tensors --------------------------------------------------------------------

  static List<String> inputs(SignatureRunner runner) {
    return names(runner.input_names(), runner.input_size());
  }

  static List<String> outputs(SignatureRunner runner) {
    return names(runner.output_names(), runner.output_size());
  }

  static void allocate(SignatureRunner runner) throws ModelException {
    if (runner.AllocateTensors() != tensorflowlite.kTfLiteOk) {
      throw new ModelException("This TFLite cannot run the model: it refused its tensors.");
    }
  }

  static void invoke(SignatureRunner runner) {
    if (runner.Invoke() != tensorflowlite.kTfLiteOk) {
      throw new IllegalStateException("TFLite failed to run the model");
    }
  }

  /** The n of a float32 tensor with shape [1, n]. */
  static int row(TfLiteTensor tensor, String name) throws ModelException {
    return shape(tensor, name, "[1, n]", 2)[1];
  }

  /**
   * The shape of a float32 tensor, whose first size is 1.
   *
   * @param expected the shape in words
   * @param rank number of sizes
   */
  static int[] shape(TfLiteTensor tensor, String name, String expected, int rank)
      throws ModelException {
    List<Integer> sizes = new ArrayList<Integer>();
    int[] shape = new int[tensor.dims().size()];
    double numbers = 1;
    boolean good = tensor.type() == tensorflowlite.kTfLiteFloat32 && shape.length == rank;
    for (int i = 0; i < shape.length; i++) {
      shape[i] = tensor.dims().data(i);
      sizes.add(shape[i]);
      numbers *= shape[i];
      good &= shape[i] >= 1;
    }
    if (!good || shape[0] != 1 || numbers > MOST) {
      boolean floats = tensor.type() == tensorflowlite.kTfLiteFloat32;
      throw new ModelException(
          "The model's " + name + " has the shape " + sizes + (floats ? "" : ", not of float32")
              + ": expected float32 " + expected + ".");
    }
    return shape;
  }

  /** Sets a tensor to real zeros. Only int8 has nonzero zero points, so filling bytes suffices. */
  static void fill(TfLiteTensor tensor, int zeroPoint) {
    Pointer.memset(tensor.data().data(), zeroPoint, tensor.bytes());
  }

  private static List<String> names(PointerPointer<?> pointers, long count) {
    List<String> names = new ArrayList<String>();
    for (long i = 0; i < count; i++) {
      names.add(new BytePointer(pointers.get(i)).getString());
    }
    return names;
  }
}
