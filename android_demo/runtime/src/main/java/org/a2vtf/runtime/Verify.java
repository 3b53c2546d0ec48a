package org.a2vtf.runtime;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Checks a TFLite file before the interpreter runs it, which trusts most of what it reads: the
 * checks of a2v_tf/runtime/verify.py, in the same order. {@code VerifyTest} compares both.
 */
final class Verify {
  static final String NO_MODEL = "expected a TFLite model";
  private static final byte[] TFL3 = {'T', 'F', 'L', '3'};
  private static final int VERSION = 3;
  private static final int MOST = 1 << 28; // elements of a tensor
  private static final double LEAST = 1e-25; // scale
  private static final double GREATEST_RATIO = 1 << 30; // of scales

  // BuiltinOptions of convolutions and of pools: slots of strides and sizes.
  private static final int CONV = 1;
  private static final int DEPTHWISE_CONV = 2;
  private static final int POOL = 5;
  private static final int[] CONV_SIZES = {1, 2};
  private static final int[] POOL_SIZES = {1, 2, 3, 4};

  // TensorType: the bits of an element; 0 of those that have no fixed number, such as texts.
  private static final int[] BITS = {
    32, 16, 32, 8, 64, 0, 8, 16, 64, 8, 64, 128, 64, 0, 0, 32, 16, 4
  };
  private static final int INT32 = 2;
  private static final int INT64 = 4;

  // BuiltinOperator: operators whose constant inputs are places or sizes.
  private static final int RESHAPE = 22;
  private static final int PAD = 34;
  private static final int TRANSPOSE = 39;
  private static final int STRIDED_SLICE = 45;
  private static final int SLICE = 65;
  private static final List<Integer> OVER_AXES = Arrays.asList(40, 74, 81, 82, 89);

  /** For each operator, how many of its inputs after the first may be such constants. */
  private static final Map<Integer, Integer> CONSTANTS = new HashMap<Integer, Integer>();

  static {
    for (int code : new int[] {RESHAPE, PAD, TRANSPOSE}) {
      CONSTANTS.put(code, 1);
    }
    for (int code : OVER_AXES) {
      CONSTANTS.put(code, 1);
    }
    CONSTANTS.put(SLICE, 2);
    CONSTANTS.put(STRIDED_SLICE, 3);
  }

  /** What is wrong with a file. */
  private static final class Flaw extends Exception {
    Flaw(String message) {
      super(message);
    }
  }

  private static final class Tensor {
    int[] shape = {};
    int type;
    int buffer;
    float[] scales = {};
    long[] zeroPoints = {};
    int axis;
    boolean variable;
    boolean sparse;
  }

  private static final class Operator {
    int opcode;
    int[] inputs;
    int[] outputs;
    int[] sizes = {}; // strides, and those of a pool's window
  }

  private static final class Graph {
    final List<Tensor> tensors = new ArrayList<Tensor>();
    final List<Operator> operators = new ArrayList<Operator>();
    int[] inputs;
    int[] outputs;
  }

  private static final class Signature {
    String key;
    int graph;
    final List<Integer> inputs = new ArrayList<Integer>();
    final List<Integer> outputs = new ArrayList<Integer>();
  }

  private final Flatbuffer file;
  private final List<Integer> codes = new ArrayList<Integer>();
  private final List<ByteBuffer> buffers = new ArrayList<ByteBuffer>();
  private final List<Graph> graphs = new ArrayList<Graph>();
  private final List<Signature> signatures = new ArrayList<Signature>();

  private Verify(byte[] content) {
    file = new Flatbuffer(ByteBuffer.wrap(content));
  }

  /** Says what is wrong with the content of a TFLite file; null if nothing is found. */
  static String flaw(byte[] content) {
    if (content.length < 8 || !Arrays.equals(Arrays.copyOfRange(content, 4, 8), TFL3)) {
      return NO_MODEL;
    }
    try {
      Verify verify = new Verify(content);
      int version = verify.read();
      verify.check(version);
      return null;
    } catch (Flaw flaw) {
      return flaw.getMessage();
    } catch (IndexOutOfBoundsException e) {
      return "its tables cannot be read";
    } catch (CharacterCodingException e) {
      return "its tables cannot be read";
    }
  }

  // Reading -----------------------------------------------------------------------------------

  /** Reads all that is checked, and returns the version. */
  private int read() throws CharacterCodingException {
    int model = file.root();
    for (int code : file.tables(model, 1)) {
      codes.add(Math.max(file.small(code, 0), file.number(code, 3)));
    }
    for (int graph : file.tables(model, 2)) {
      graphs.add(graph(graph));
    }
    for (int buffer : file.tables(model, 4)) {
      buffers.add(file.data(buffer, 0));
    }
    for (int signature : file.tables(model, 7)) {
      signatures.add(signature(signature));
    }
    return file.number(model, 0);
  }

  private Graph graph(int table) {
    Graph graph = new Graph();
    for (int tensor : file.tables(table, 0)) {
      graph.tensors.add(tensor(tensor));
    }
    graph.inputs = file.ints(table, 1);
    graph.outputs = file.ints(table, 2);
    for (int operator : file.tables(table, 3)) {
      graph.operators.add(operator(operator));
    }
    return graph;
  }

  private Tensor tensor(int table) {
    Tensor tensor = new Tensor();
    tensor.shape = file.ints(table, 0);
    tensor.type = file.small(table, 1);
    tensor.buffer = file.number(table, 2);
    int quantization = file.at(table, 4);
    if (quantization != 0) {
      tensor.scales = file.floats(quantization, 2);
      tensor.zeroPoints = file.longs(quantization, 3);
      tensor.axis = file.number(quantization, 6);
    }
    tensor.variable = file.small(table, 5) != 0;
    tensor.sparse = file.at(table, 6) != 0;
    return tensor;
  }

  private Operator operator(int table) {
    Operator operator = new Operator();
    operator.opcode = file.number(table, 0);
    operator.inputs = file.ints(table, 1);
    operator.outputs = file.ints(table, 2);
    int kind = file.small(table, 3); // the union's member, whose table is in the next slot
    int options = kind == 0 ? 0 : file.at(table, 4);
    int[] slots = {};
    if (kind == CONV || kind == DEPTHWISE_CONV) {
      slots = CONV_SIZES;
    } else if (kind == POOL) {
      slots = POOL_SIZES;
    }
    operator.sizes = new int[slots.length];
    for (int i = 0; i < slots.length; i++) {
      operator.sizes[i] = file.number(options, slots[i]);
    }
    return operator;
  }

  private Signature signature(int table) throws CharacterCodingException {
    Signature signature = new Signature();
    signature.key = file.text(table, 2);
    signature.graph = file.number(table, 4);
    for (int slot = 0; slot < 2; slot++) {
      for (int entry : file.tables(table, slot)) {
        file.text(entry, 0); // its name
        (slot == 0 ? signature.inputs : signature.outputs).add(file.number(entry, 1));
      }
    }
    return signature;
  }

  // Checking ----------------------------------------------------------------------------------

  private void check(int version) throws Flaw {
    if (version != VERSION) {
      throw new Flaw("it has version " + version + " of the format: expected " + VERSION);
    }
    if (graphs.isEmpty()) {
      throw new Flaw("it holds no graph");
    }
    for (int i = 0; i < graphs.size(); i++) {
      Graph graph = graphs.get(i);
      for (int j = 0; j < graph.tensors.size(); j++) {
        checkTensor("tensor " + j + " of graph " + i, graph.tensors.get(j));
      }
      checkOrder("graph " + i, graph);
      for (int j = 0; j < graph.operators.size(); j++) {
        checkOperator("operator " + j + " of graph " + i, graph, graph.operators.get(j));
      }
    }
    for (Signature signature : signatures) {
      checkSignature(signature);
    }
  }

  private void checkTensor(String name, Tensor tensor) throws Flaw {
    double size = product(tensor.shape);
    for (int n : tensor.shape) {
      if (n < 0 || size > MOST) {
        throw new Flaw(name + " has the shape " + Arrays.toString(tensor.shape));
      }
    }
    if (!isIn(tensor.buffer, buffers.size())) {
      throw new Flaw(name + " has no buffer");
    }
    int data = buffers.get(tensor.buffer).remaining();
    int bits = isIn(tensor.type, BITS.length) ? BITS[tensor.type] : 0;
    if (data > 0 && bits > 0 && !tensor.sparse) {
      long expected = ((long) size * bits + 7) / 8;
      if (data != expected) {
        throw new Flaw(name + " has " + data + " bytes: expected " + expected);
      }
    }
    if (tensor.scales.length > 0) {
      checkQuantization(name, tensor);
    }
  }

  private static void checkQuantization(String name, Tensor tensor) throws Flaw {
    int[] shape = tensor.shape;
    int count = tensor.scales.length;
    for (float scale : tensor.scales) {
      if (!(LEAST < scale && scale < 1 / LEAST)) {
        throw new Flaw(name + " has a scale of " + scale);
      }
    }
    if (count > 1 && !(isIn(tensor.axis, shape.length) && shape[tensor.axis] == count)) {
      throw new Flaw(name + " has " + count + " scales for axis " + tensor.axis);
    }
    int zeros = tensor.zeroPoints.length;
    if (zeros > 1 && zeros != count) {
      throw new Flaw(name + " has " + zeros + " zero points: expected " + count);
    }
    long[] limits = zeroPoints(tensor.type);
    for (long zero : tensor.zeroPoints) {
      if (zero < limits[0] || zero > limits[1]) {
        throw new Flaw(name + " has a zero point of " + zero);
      }
    }
  }

  /** The limits of a zero point, by the type of the tensor. */
  private static long[] zeroPoints(int type) {
    switch (type) {
      case INT32:
      case 7: // int16
        return new long[] {0, 0};
      case 3: // uint8
        return new long[] {0, 255};
      case 9: // int8
        return new long[] {-128, 127};
      case 17: // int4
        return new long[] {-8, 7};
      default:
        return new long[] {Integer.MIN_VALUE, Integer.MAX_VALUE};
    }
  }

  /** Every tensor that an operator takes is there when it runs. */
  private void checkOrder(String name, Graph graph) throws Flaw {
    int every = graph.tensors.size();
    for (int[] ends : new int[][] {graph.inputs, graph.outputs}) {
      for (int i : ends) {
        if (!isIn(i, every)) {
          throw new Flaw(name + " has inputs or outputs that are not there");
        }
      }
    }
    Set<Integer> filled = new HashSet<Integer>();
    for (int i = 0; i < every; i++) {
      Tensor tensor = graph.tensors.get(i);
      boolean constant = buffers.get(tensor.buffer).hasRemaining() || contains(tensor.shape, 0);
      if (constant || tensor.variable || contains(graph.inputs, i)) {
        filled.add(i);
      }
    }
    for (int j = 0; j < graph.operators.size(); j++) {
      Operator operator = graph.operators.get(j);
      boolean good = true;
      for (int i : operator.inputs) {
        good &= i == -1 || filled.contains(i);
      }
      for (int i : operator.outputs) {
        good &= isIn(i, every);
        filled.add(i);
      }
      if (!good) {
        throw new Flaw(
            "operator " + j + " of " + name + " takes or gives tensors that are not there");
      }
    }
    for (int i : graph.outputs) {
      if (!filled.contains(i)) {
        throw new Flaw(name + " has outputs that nothing computes");
      }
    }
  }

  private void checkOperator(String name, Graph graph, Operator operator) throws Flaw {
    if (!isIn(operator.opcode, codes.size())) {
      throw new Flaw(name + " is of no kind");
    }
    for (int size : operator.sizes) {
      if (size <= 0 || size > MOST) {
        throw new Flaw(name + " has strides or sizes of " + Arrays.toString(operator.sizes));
      }
    }
    List<Tensor> inputs = new ArrayList<Tensor>();
    for (int i : operator.inputs) {
      inputs.add(i < 0 ? new Tensor() : graph.tensors.get(i)); // what is left out is empty
    }
    double product = 1;
    double greatest = 1;
    for (int i = 0; i < Math.min(2, inputs.size()); i++) {
      double scale = greatest(inputs.get(i).scales);
      product *= scale;
      greatest = i == 0 ? scale : Math.max(greatest, scale);
    }
    for (int i : operator.outputs) {
      for (float scale : graph.tensors.get(i).scales) {
        if (Math.max(product, greatest) / scale > GREATEST_RATIO) {
          throw new Flaw(name + " has inputs of other scales than outputs, of " + scale);
        }
      }
    }
    checkConstants(name, codes.get(operator.opcode), inputs);
  }

  /** Constants that are axes, places or sizes are within the tensor that they are for. */
  private void checkConstants(String name, int code, List<Tensor> inputs) throws Flaw {
    if (!CONSTANTS.containsKey(code)) {
      return;
    }
    if (inputs.size() < 2) {
      throw new Flaw(name + " takes " + inputs.size() + " tensors");
    }
    int[] shape = inputs.get(0).shape;
    List<long[]> values = new ArrayList<long[]>();
    for (int i = 1; i <= CONSTANTS.get(code); i++) {
      long[] value = i < inputs.size() ? constant(inputs.get(i)) : null;
      if (value == null) {
        return; // computed
      }
      values.add(value);
    }
    if (!fits(code, values, shape)) {
      StringBuilder words = new StringBuilder();
      for (long[] value : values) {
        words.append(words.length() == 0 ? "" : ", ").append(Arrays.toString(value));
      }
      throw new Flaw(
          name + " takes [" + words + "] for a tensor of " + Arrays.toString(shape));
    }
  }

  private static boolean fits(int code, List<long[]> values, int[] shape) {
    long[] first = values.get(0);
    switch (code) {
      case TRANSPOSE:
        long[] sorted = first.clone();
        Arrays.sort(sorted);
        boolean all = sorted.length == shape.length;
        for (int i = 0; all && i < sorted.length; i++) {
          all = sorted[i] == i;
        }
        return all;
      case RESHAPE:
        return reshapes(first, product(shape));
      case PAD:
        return first.length == 2 * shape.length && between(first, 0, MOST);
      case SLICE:
        return slices(first, values.get(1), shape);
      case STRIDED_SLICE:
        long[] strides = values.get(2);
        return first.length == values.get(1).length
            && first.length == strides.length
            && first.length <= shape.length
            && !contains(strides, 0);
      default:
        return between(first, -shape.length, Math.max(1, shape.length) - 1);
    }
  }

  private static boolean reshapes(long[] to, double size) {
    double known = 1;
    int free = 0;
    for (long n : to) {
      free += n == -1 ? 1 : 0;
      known *= n == -1 ? 1 : n;
    }
    if (free > 1 || !between(to, -1, Long.MAX_VALUE)) {
      return false;
    }
    return free == 0 ? size == known : known > 0 && size % known == 0;
  }

  private static boolean slices(long[] begins, long[] sizes, int[] shape) {
    boolean good = begins.length == shape.length && sizes.length == shape.length;
    for (int i = 0; good && i < shape.length; i++) {
      good = begins[i] >= 0 && begins[i] <= shape[i] && sizes[i] >= -1
          && sizes[i] <= shape[i] - begins[i];
    }
    return good;
  }

  /** The integers of a constant; null of what is none. */
  private long[] constant(Tensor tensor) {
    ByteBuffer data = buffers.get(tensor.buffer).duplicate().order(ByteOrder.LITTLE_ENDIAN);
    int size = tensor.type == INT32 ? 4 : tensor.type == INT64 ? 8 : 0;
    if (size == 0 || !data.hasRemaining()) {
      return null;
    }
    if (data.remaining() % size != 0) {
      throw new IndexOutOfBoundsException("part of a number");
    }
    long[] values = new long[data.remaining() / size];
    for (int i = 0; i < values.length; i++) {
      values[i] = size == 4 ? data.getInt() : data.getLong();
    }
    return values;
  }

  private void checkSignature(Signature signature) throws Flaw {
    String name = "signature '" + signature.key + "'";
    if (!isIn(signature.graph, graphs.size())) {
      throw new Flaw(name + " is of no graph");
    }
    Graph graph = graphs.get(signature.graph);
    for (int i : signature.inputs) {
      if (!contains(graph.inputs, i)) {
        throw new Flaw(name + " has inputs that are none of its graph");
      }
    }
    for (int i : signature.outputs) {
      if (!contains(graph.outputs, i)) {
        throw new Flaw(name + " has outputs that are none of its graph");
      }
    }
  }

  // Numbers -----------------------------------------------------------------------------------

  private static boolean isIn(int index, int size) {
    return index >= 0 && index < size;
  }

  private static boolean between(long[] values, long least, long most) {
    for (long value : values) {
      if (value < least || value > most) {
        return false;
      }
    }
    return true;
  }

  private static boolean contains(int[] values, int wanted) {
    for (int value : values) {
      if (value == wanted) {
        return true;
      }
    }
    return false;
  }

  private static boolean contains(long[] values, long wanted) {
    for (long value : values) {
      if (value == wanted) {
        return true;
      }
    }
    return false;
  }

  /** As a double, which does not overflow and is exact below 2^53. */
  private static double product(int[] sizes) {
    double product = 1;
    for (int n : sizes) {
      product *= n;
    }
    return product;
  }

  /** The greatest scale; 1 of a tensor without any. */
  private static double greatest(float[] scales) {
    double greatest = scales.length == 0 ? 1 : scales[0];
    for (float scale : scales) {
      greatest = Math.max(greatest, scale);
    }
    return greatest;
  }
}
