package org.a2vtf.runtime;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads the metadata that {@code export_tflite} writes; see a2v_tf/runtime/metadata.py. */
final class Metadata {
  private static final String OFFICIAL = "TFLITE_METADATA";
  // Slots of fields in the tables of TFLite's schema and of its metadata schema.
  private static final int MODEL_BUFFERS = 4;
  private static final int MODEL_METADATA = 6;
  private static final int ENTRY_NAME = 0;
  private static final int ENTRY_BUFFER = 1;
  private static final int BUFFER_DATA = 0;
  private static final int METADATA_GRAPHS = 3;
  private static final int GRAPH_DESCRIPTION = 1;

  private Metadata() {}

  /** The facts, JSON; empty if the file has none. */
  static String facts(byte[] model) {
    try {
      return description(ByteBuffer.wrap(model));
    } catch (IndexOutOfBoundsException e) {
      return ""; // not a flatbuffer, or a damaged one
    } catch (CharacterCodingException e) {
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

  private static String description(ByteBuffer content) throws CharacterCodingException {
    Flatbuffer file = new Flatbuffer(content);
    int model = file.root();
    for (int entry : file.tables(model, MODEL_METADATA)) {
      if (file.text(entry, ENTRY_NAME).equals(OFFICIAL)) {
        int buffer = file.tables(model, MODEL_BUFFERS)[file.number(entry, ENTRY_BUFFER)];
        return ofGraph(new Flatbuffer(file.data(buffer, BUFFER_DATA)));
      }
    }
    return "";
  }

  private static String ofGraph(Flatbuffer metadata) throws CharacterCodingException {
    int[] graphs = metadata.tables(metadata.root(), METADATA_GRAPHS);
    return graphs.length == 0 ? "" : metadata.text(graphs[0], GRAPH_DESCRIPTION);
  }
}
