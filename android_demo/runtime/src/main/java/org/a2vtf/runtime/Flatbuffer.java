package org.a2vtf.runtime;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;

/**
 * Reads the tables of a flatbuffer, without code that is generated from their schema.
 *
 * <p>Tables, texts and vectors are given by their position; a missing one is 0, and empty. Reading
 * what lies outside of the file raises {@link IndexOutOfBoundsException}.
 */
final class Flatbuffer {
  private static final Charset UTF_8 = Charset.forName("UTF-8");
  private static final int MOST_TABLES = 1 << 16; // in a vector

  private final ByteBuffer bytes;

  Flatbuffer(ByteBuffer bytes) {
    this.bytes = bytes.slice().order(ByteOrder.LITTLE_ENDIAN);
  }

  int root() {
    return follow(0);
  }

  /** The position of a table's field; 0 if it is missing. */
  int field(int table, int slot) {
    int fields = table - bytes.getInt(table);
    int place = 4 + 2 * slot;
    int offset = place < unsigned(fields) ? unsigned(fields + place) : 0;
    return offset == 0 ? 0 : table + offset;
  }

  /** The text, table or vector that a field refers to; 0 if it is missing. */
  int at(int table, int slot) {
    int place = field(table, slot);
    return place == 0 ? 0 : follow(place);
  }

  /** An integer of 32 bits; 0 if it is missing. */
  int number(int table, int slot) {
    int place = field(table, slot);
    return place == 0 ? 0 : bytes.getInt(place);
  }

  /** An integer of 8 bits; 0 if it is missing. */
  int small(int table, int slot) {
    int place = field(table, slot);
    return place == 0 ? 0 : bytes.get(place);
  }

  String text(int table, int slot) throws CharacterCodingException {
    return UTF_8.newDecoder().decode(vector(at(table, slot), 1)).toString();
  }

  /** The bytes of a vector. */
  ByteBuffer data(int table, int slot) {
    return vector(at(table, slot), 1);
  }

  int[] ints(int table, int slot) {
    ByteBuffer content = vector(at(table, slot), 4);
    int[] values = new int[content.remaining() / 4];
    content.asIntBuffer().get(values);
    return values;
  }

  float[] floats(int table, int slot) {
    ByteBuffer content = vector(at(table, slot), 4);
    float[] values = new float[content.remaining() / 4];
    content.asFloatBuffer().get(values);
    return values;
  }

  long[] longs(int table, int slot) {
    ByteBuffer content = vector(at(table, slot), 8);
    long[] values = new long[content.remaining() / 8];
    content.asLongBuffer().get(values);
    return values;
  }

  /** The tables of a vector. */
  int[] tables(int table, int slot) {
    int start = at(table, slot);
    int[] places = new int[vector(start, 4).remaining() / 4];
    if (places.length > MOST_TABLES) {
      throw new IndexOutOfBoundsException(places.length + " tables");
    }
    for (int i = 0; i < places.length; i++) {
      places[i] = follow(start + 4 + 4 * i);
    }
    return places;
  }

  /** Follows an offset; offsets have no sign. */
  private int follow(int place) {
    long to = place + (bytes.getInt(place) & 0xffffffffL);
    if (to > bytes.limit()) {
      throw new IndexOutOfBoundsException("an offset goes beyond the end");
    }
    return (int) to;
  }

  /** The elements of a vector, each of {@code size} bytes. */
  private ByteBuffer vector(int start, int size) {
    ByteBuffer view = bytes.duplicate().order(ByteOrder.LITTLE_ENDIAN);
    if (start == 0) {
      view.limit(0);
      return view;
    }
    long count = bytes.getInt(start) & 0xffffffffL;
    if (size * count > bytes.limit() - 4 - start) {
      throw new IndexOutOfBoundsException("a vector goes beyond the end");
    }
    view.position(start + 4);
    view.limit(start + 4 + (int) (size * count));
    return view;
  }

  private int unsigned(int place) {
    return bytes.getShort(place) & 0xffff;
  }
}
