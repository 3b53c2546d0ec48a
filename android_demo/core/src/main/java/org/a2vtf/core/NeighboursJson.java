package org.a2vtf.core;

import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Taught sounds as JSON, for users to store, send and edit. */
final class NeighboursJson {
  private static final String FORMAT = "a2v_tf taught sounds";
  private static final int VERSION = 1;

  private NeighboursJson() {}

  static String write(Map<String, List<float[]>> taught, double unknownAbove) {
    StringBuilder out = new StringBuilder();
    out.append("{\"format\": ").append(Json.quote(FORMAT));
    out.append(", \"version\": ").append(VERSION);
    out.append(", \"unknownAbove\": ");
    out.append(Double.isInfinite(unknownAbove) ? "null" : Double.toString(unknownAbove));
    out.append(", \"sounds\": [");
    String separator = "\n";
    for (Map.Entry<String, List<float[]>> sound : taught.entrySet()) {
      out.append(separator).append("{\"label\": ").append(Json.quote(sound.getKey()));
      out.append(", \"embeddings\": [");
      String between = "\n";
      for (float[] embedding : sound.getValue()) {
        out.append(between).append(Arrays.toString(embedding));
        between = ",\n";
      }
      out.append("]}");
      separator = ",\n";
    }
    return out.append("]}\n").toString();
  }

  static Neighbours read(String json) {
    Map<?, ?> content = as(Map.class, Json.parse(json), "the whole", "an object");
    if (!FORMAT.equals(content.get("format"))) {
      throw new IllegalArgumentException(
          "these are no taught sounds: expected \"format\": " + Json.quote(FORMAT));
    }
    if (!Double.valueOf(VERSION).equals(content.get("version"))) {
      throw new IllegalArgumentException(
          "taught sounds of version " + content.get("version") + ": expected " + VERSION);
    }
    Neighbours neighbours = new Neighbours();
    for (Object sound : as(List.class, content.get("sounds"), "\"sounds\"", "a list")) {
      addSound(neighbours, as(Map.class, sound, "a sound", "an object"));
    }
    Object threshold = content.get("unknownAbove");
    if (threshold != null) {
      neighbours.setUnknownAbove(as(Double.class, threshold, "\"unknownAbove\"", "a number"));
    }
    return neighbours;
  }

  private static void addSound(Neighbours neighbours, Map<?, ?> sound) {
    String label = as(String.class, sound.get("label"), "a \"label\"", "a string");
    Object embeddings = sound.get("embeddings");
    for (Object item : as(List.class, embeddings, "\"embeddings\"", "a list")) {
      List<?> numbers = as(List.class, item, "an embedding", "a list of numbers");
      float[] embedding = new float[numbers.size()];
      for (int i = 0; i < embedding.length; i++) {
        Object number = numbers.get(i);
        embedding[i] = as(Double.class, number, "an embedding", "numbers").floatValue();
      }
      neighbours.add(label, embedding);
    }
  }

  private static <T> T as(Class<T> type, Object value, String what, String expected) {
    if (!type.isInstance(value)) {
      throw new IllegalArgumentException(
          "taught sounds are broken: "
              + what
              + (value == null ? " is missing" : " is not")
              + (value == null ? ", expected " : " ")
              + expected);
    }
    return type.cast(value);
  }
}
