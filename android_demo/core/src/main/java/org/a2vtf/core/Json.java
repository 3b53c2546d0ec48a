package org.a2vtf.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Reads JSON (RFC 8259) and writes its strings; Android's org.json does not exist on the JVM. */
public final class Json {
  private static final int DEEPEST = 100;

  private final String text;
  private int at;
  private int depth;

  private Json(String text) {
    this.text = text;
  }

  /**
   * Reads a JSON text.
   *
   * @return a {@code Map<String, Object>} in the order of the text, a {@code List<Object>}, a
   *     String, a Double, a Boolean or null
   * @throws IllegalArgumentException if it is not JSON; the message says what is wrong and where
   */
  public static Object parse(String text) {
    Json json = new Json(text);
    Object value = json.value();
    json.skipSpace();
    if (json.at < text.length()) {
      throw json.error("the end of the text");
    }
    return value;
  }

  /** Writes a string, in quotes. */
  public static String quote(String value) {
    StringBuilder out = new StringBuilder("\"");
    for (int i = 0; i < value.length(); i++) {
      char c = value.charAt(i);
      if (c == '"' || c == '\\') {
        out.append('\\').append(c);
      } else if (c < ' ' || Character.isSurrogate(c)) {
        // Half a surrogate pair, as at the end of a truncated label, has no UTF-8.
        out.append(String.format(Locale.ROOT, "\\u%04x", (int) c));
      } else {
        out.append(c);
      }
    }
    return out.append('"').toString();
  }

  private Object value() {
    skipSpace();
    switch (at < text.length() ? text.charAt(at) : 0) {
      case '{':
        return object();
      case '[':
        return array();
      case '"':
        return string();
      case 't':
        return word("true", Boolean.TRUE);
      case 'f':
        return word("false", Boolean.FALSE);
      case 'n':
        return word("null", null);
      default:
        return number();
    }
  }

  private Map<String, Object> object() {
    Map<String, Object> members = new LinkedHashMap<String, Object>();
    enter();
    if (!next('}')) {
      do {
        skipSpace();
        if (at >= text.length() || text.charAt(at) != '"') {
          throw error("a name in quotes");
        }
        String name = string();
        expect(':');
        members.put(name, value());
      } while (next(','));
      expect('}');
    }
    depth--;
    return members;
  }

  private List<Object> array() {
    List<Object> items = new ArrayList<Object>();
    enter();
    if (!next(']')) {
      do {
        items.add(value());
      } while (next(','));
      expect(']');
    }
    depth--;
    return items;
  }

  private String string() {
    StringBuilder out = new StringBuilder();
    at++;
    while (true) {
      if (at >= text.length()) {
        throw error("a closing quote");
      }
      char c = text.charAt(at);
      if (c < ' ') {
        throw error("no control character in a string");
      }
      at++;
      if (c == '"') {
        return out.toString();
      }
      out.append(c == '\\' ? escaped() : c);
    }
  }

  private char escaped() {
    char c = at < text.length() ? text.charAt(at) : 0;
    int place = "\"\\/bfnrt".indexOf(c);
    if (place >= 0) {
      at++;
      return "\"\\/\b\f\n\r\t".charAt(place);
    }
    if (c == 'u' && at + 5 <= text.length()) {
      String digits = text.substring(at + 1, at + 5);
      if (digits.matches("[0-9a-fA-F]{4}")) {
        at += 5;
        return (char) Integer.parseInt(digits, 16);
      }
    }
    throw error("an escape like \\n or \\u00e9");
  }

  private Double number() {
    int start = at;
    while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) {
      at++;
    }
    String digits = text.substring(start, at);
    if (!digits.matches("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")) {
      at = start;
      throw error("a value");
    }
    return Double.valueOf(digits);
  }

  private Object word(String word, Object value) {
    if (!text.startsWith(word, at)) {
      throw error("a value");
    }
    at += word.length();
    return value;
  }

  private void enter() {
    at++;
    if (++depth > DEEPEST) {
      throw error("no more than " + DEEPEST + " brackets inside one another");
    }
  }

  private boolean next(char wanted) {
    skipSpace();
    boolean found = at < text.length() && text.charAt(at) == wanted;
    at += found ? 1 : 0;
    return found;
  }

  private void expect(char wanted) {
    if (!next(wanted)) {
      throw error("'" + wanted + "'");
    }
  }

  private void skipSpace() {
    while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
      at++;
    }
  }

  private IllegalArgumentException error(String expected) {
    String found = at < text.length() ? "'" + text.charAt(at) + "'" : "the end";
    return new IllegalArgumentException(
        "not JSON: " + found + " at character " + (at + 1) + ", expected " + expected);
  }
}
