package org.a2vtf.runtime;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.Charset;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads the metadata that {@code export_tflite} writes; see a2v_tf/runtime/metadata.py. */
final class Metadata {
  private static final Charset UTF_8 = Charset.forName("UTF-8");
  private static final String OFFICIAL = "TFLITE_METADATA";
  // Slots of fields in the tables of TFLite's schema and of its metadata schema.
  private static final int MODEL_BUFFERS = 4;
  private static final int MODEL_METADATA = 6;
  private static final int ENTRY_NAME = 0;
  private static final int ENTRY_BUFFER = 1;
  private static final int BUFFER_DATA = 0;
  private static final int METADATA_GRAPHS = 3;
  private static final int GRAPH_DESCRIPTION = 1;

  private final ByteBuffer bytes;

  private Metadata(ByteBuffer bytes) {
    this.bytes = bytes.slice().order(ByteOrder.LITTLE_ENDIAN);
  }

  static boolean isTflite(byte[] model) {
    return model[4] == 'T' && model[5] == 'F' && model[6] == 'L' && model[7] == '3';
  }

  /** The facts, JSON; empty if the file has none. */
  static String facts(byte[] model) {
    try {
      return new Metadata(ByteBuffer.wrap(model)).description();
    } catch (IndexOutOfBoundsException e) {
      return ""; // not a flatbuffer, or a damaged one
    } catch (IllegalArgumentException e) {
      return "";
    }
  }

  /** Some of the facts as text that begins with "; "; empty if there are none. */
  static String summary(String facts) {
    StringBuilder words = new StringBuilder();
    String encoder = value(facts, "encoder");
    String task = value(facts, "task");
    append(words, encoder.isEmpty() ? "" : encoder + " encoder");
    append(words, task);
    String quantized = value(facts, "quantized");
    String activations = value(facts, "activations");
    if (!quantized.isEmpty()) {
      String integers = activations.isEmpty() ? "int8" : activations;
      append(words, quantized.equals("true") ? integers : "float");
    }
    return words.toString();
  }

  private static void append(StringBuilder words, String more) {
    if (!more.isEmpty()) {
      words.append(words.length() == 0 ? "; " : ", ").append(more);
    }
  }

  /** A text, number or boolean of a JSON object; empty if it is missing or null. */
  private static String value(String json, String name) {
    String pattern = "\"" + Pattern.quote(name) + "\"\\s*:\\s*(?:\"([^\"\\\\]*)\"|([\\w.+-]+))";
    Matcher found = Pattern.compile(pattern).matcher(json);
    if (!found.find() || "null".equals(found.group(2))) {
      return "";
    }
    return found.group(1) != null ? found.group(1) : found.group(2);
  }

  private String description() {
    int model = root();
    int entries = at(model, MODEL_METADATA);
    for (int i = 0; i < length(entries); i++) {
      int entry = element(entries, i);
      if (text(at(entry, ENTRY_NAME)).equals(OFFICIAL)) {
        int place = field(entry, ENTRY_BUFFER);
        int buffer = element(at(model, MODEL_BUFFERS), place == 0 ? 0 : bytes.getInt(place));
        return inner(at(buffer, BUFFER_DATA)).ofGraph();
      }
    }
    return "";
  }

  private String ofGraph() {
    int graphs = at(root(), METADATA_GRAPHS);
    return length(graphs) == 0 ? "" : text(at(element(graphs, 0), GRAPH_DESCRIPTION));
  }

  /** The flatbuffer inside a vector of bytes. */
  private Metadata inner(int vector) {
    ByteBuffer view = bytes.duplicate();
    view.position(vector + 4);
    view.limit(vector + 4 + length(vector));
    return new Metadata(view);
  }

  private int root() {
    return bytes.getInt(0);
  }

  /** The position of a table's field; 0 if it is missing. */
  private int field(int table, int number) {
    int fields = table - bytes.getInt(table);
    int place = 4 + 2 * number;
    int offset = place < bytes.getShort(fields) ? bytes.getShort(fields + place) : 0;
    return offset == 0 ? 0 : table + offset;
  }

  /** The text, table or vector that a field refers to; 0 if it is missing. */
  private int at(int table, int number) {
    int place = field(table, number);
    return place == 0 ? 0 : place + bytes.getInt(place);
  }

  private int length(int vector) {
    return vector == 0 ? 0 : bytes.getInt(vector);
  }

  private int element(int vector, int i) {
    int place = vector + 4 + 4 * i;
    return place + bytes.getInt(place);
  }

  private String text(int place) {
    int length = length(place);
    ByteBuffer view = bytes.duplicate();
    view.position(place + 4);
    if (length < 0 || length > view.remaining()) {
      throw new IndexOutOfBoundsException();
    }
    byte[] text = new byte[length];
    view.get(text);
    return new String(text, UTF_8);
  }
}
