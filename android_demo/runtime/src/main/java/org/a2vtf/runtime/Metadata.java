package org.a2vtf.runtime;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.a2vtf.core.Json;

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

  /** The facts, as {@link Json} gives them; empty if the file has none. */
  static Map<String, Object> read(byte[] model) {
    try {
      Object facts = Json.parse(facts(model));
      if (facts instanceof Map) {
        Map<String, Object> read = new LinkedHashMap<String, Object>();
        for (Map.Entry<?, ?> fact : ((Map<?, ?>) facts).entrySet()) {
          read.put((String) fact.getKey(), fact.getValue());
        }
        return read;
      }
    } catch (IllegalArgumentException e) {
      // Not JSON: written by another program.
    }
    return Collections.emptyMap();
  }

  /** Some of the facts as text that begins with "; "; empty if there are none. */
  static String summary(Map<String, Object> facts) {
    StringBuilder words = new StringBuilder();
    String encoder = text(facts, "encoder");
    String activations = text(facts, "activations");
    append(words, encoder.isEmpty() ? "" : encoder + " encoder");
    append(words, text(facts, "task"));
    if (facts.get("quantized") instanceof Boolean) {
      String integers = activations.isEmpty() ? "int8" : activations;
      append(words, (Boolean) facts.get("quantized") ? integers : "float");
    }
    return words.toString();
  }

  private static void append(StringBuilder words, String more) {
    if (!more.isEmpty()) {
      words.append(words.length() == 0 ? "; " : ", ").append(more);
    }
  }

  /** A text; empty if it is missing or something else. */
  static String text(Map<String, Object> facts, String name) {
    Object value = facts.get(name);
    return value instanceof String ? (String) value : "";
  }

  /** A list of whole numbers; null if it is missing or something else. */
  static int[] ints(Map<String, Object> facts, String name) {
    Object value = facts.get(name);
    if (!(value instanceof List)) {
      return null;
    }
    int[] numbers = new int[((List<?>) value).size()];
    for (int i = 0; i < numbers.length; i++) {
      Object number = ((List<?>) value).get(i);
      if (!(number instanceof Double) || ((Double) number).intValue() != (Double) number) {
        return null;
      }
      numbers[i] = ((Double) number).intValue();
    }
    return numbers;
  }

  /** A list of texts; null if it is missing or something else. */
  static List<String> texts(Map<String, Object> facts, String name) {
    Object value = facts.get(name);
    if (!(value instanceof List)) {
      return null;
    }
    List<String> texts = new ArrayList<String>();
    for (Object text : (List<?>) value) {
      if (!(text instanceof String)) {
        return null;
      }
      texts.add((String) text);
    }
    return texts;
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
