package org.a2vtf.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.Test;

public class NeighboursTest {
  private static final float[] ORIGIN = {0, 0};

  @Test
  public void agreesWithPython() throws Exception {
    Neighbours neighbours = Neighbours.fromJson(Golden.text("neighbours/taught.json"));
    List<String> labels = neighbours.labels();
    assertEquals(Arrays.asList("kettle", "the \"old\" door\\", "狗 🐕", "tap\tdrip"), labels);
    assertEquals(4.5, neighbours.unknownAbove(), 0);
    float[] queries = Golden.floats("neighbours/queries.f32");
    String[] lines = Golden.text("neighbours/nearest.csv").split("\n");
    assertEquals(41, lines.length);
    int dim = queries.length / lines.length;
    boolean[] unknown = new boolean[2];
    for (int i = 0; i < lines.length; i++) {
      String[] want = lines[i].split(",");
      float[] query = Arrays.copyOfRange(queries, i * dim, (i + 1) * dim);
      Neighbours.Match match = neighbours.nearest(query);
      assertEquals("query " + i, labels.get(Integer.parseInt(want[0])), match.label);
      assertEquals(Integer.parseInt(want[1]), match.votes);
      assertEquals(Integer.parseInt(want[2]), match.of);
      assertEquals(Double.parseDouble(want[3]), match.distance, 1e-5);
      assertEquals(match.distance > 4.5, match.unknown);
      unknown[match.unknown ? 1 : 0] = true;
      Neighbours.Match prototype = neighbours.nearestPrototype(query);
      assertEquals("query " + i, labels.get(Integer.parseInt(want[4])), prototype.label);
      assertEquals(Double.parseDouble(want[5]), prototype.distance, 1e-5);
    }
    assertArrayEquals(new boolean[] {true, true}, unknown);
  }

  @Test
  public void givesNoMatchWithoutTaughtSounds() {
    assertNull(new Neighbours().nearest(ORIGIN));
    assertNull(new Neighbours().nearestPrototype(ORIGIN));
  }

  @Test
  public void tenVoteAndTheNearestBreaksATie() {
    Neighbours neighbours = new Neighbours();
    for (int i = 0; i < 5; i++) {
      neighbours.add("far", new float[] {0, 2 + i});
      neighbours.add("near", new float[] {1 + i, 0});
    }
    neighbours.add("beyond", new float[] {100, 0});
    Neighbours.Match match = neighbours.nearest(ORIGIN);
    assertEquals("near", match.label);
    assertEquals(1, match.distance, 1e-12);
    assertEquals(5, match.votes);
    assertEquals(10, match.of);
    assertFalse(match.unknown);
    neighbours.add("far", new float[] {0, 2.5f}); // these take the places of two that voted
    neighbours.add("far", new float[] {0, 2.6f});
    assertEquals("far", neighbours.nearest(ORIGIN).label);
    assertEquals(2, neighbours.nearest(ORIGIN).distance, 1e-12);
    assertEquals(10, neighbours.nearest(ORIGIN).of);
  }

  @Test
  public void addsAndRemovesLabels() {
    Neighbours neighbours = new Neighbours();
    float[] reused = {1, 2};
    neighbours.add("b", reused);
    reused[0] = 3;
    neighbours.add("b", reused);
    neighbours.add("a", reused);
    assertEquals(Arrays.asList("b", "a"), neighbours.labels());
    assertEquals(2, neighbours.count("b"));
    assertEquals(0, neighbours.count("c"));
    assertArrayEquals(new float[] {2, 2}, neighbours.prototype("b"), 0f);
    assertNull(neighbours.prototype("c"));
    neighbours.remove("b");
    neighbours.remove("b");
    assertEquals(Arrays.asList("a"), neighbours.labels());
    neighbours.remove("a");
    neighbours.add("other size", new float[] {1, 2, 3});
    assertEquals("other size", neighbours.nearest(new float[3]).label);
  }

  @Test
  public void refusesInvalidEmbeddings() {
    Neighbours neighbours = new Neighbours();
    assertThrows(IllegalArgumentException.class, () -> neighbours.add("a", new float[0]));
    neighbours.add("a", ORIGIN);
    IllegalArgumentException error =
        assertThrows(IllegalArgumentException.class, () -> neighbours.add("a", new float[3]));
    assertEquals(
        "an embedding of 3 numbers: expected 2, as the taught ones have", error.getMessage());
    float[] bad = {0, Float.NaN};
    assertThrows(IllegalArgumentException.class, () -> neighbours.add("a", bad));
    assertThrows(IllegalArgumentException.class, () -> neighbours.nearest(bad));
    assertThrows(IllegalArgumentException.class, () -> neighbours.nearest(new float[3]));
    assertThrows(IllegalArgumentException.class, () -> neighbours.add(" ", ORIGIN));
    assertThrows(IllegalArgumentException.class, () -> neighbours.add(null, ORIGIN));
    assertEquals(1, neighbours.count("a"));
    assertThrows(IllegalArgumentException.class, () -> neighbours.setUnknownAbove(Double.NaN));
    assertThrows(IllegalArgumentException.class, () -> neighbours.setUnknownAbove(-1));
  }

  @Test
  public void distantEmbeddingsAreUnknown() {
    Neighbours neighbours = new Neighbours();
    neighbours.add("a", new float[] {3, 4});
    assertFalse(neighbours.nearest(ORIGIN).unknown);
    neighbours.setUnknownAbove(5);
    assertFalse(neighbours.nearest(ORIGIN).unknown);
    neighbours.setUnknownAbove(4.999);
    assertTrue(neighbours.nearest(ORIGIN).unknown);
    assertEquals("a", neighbours.nearest(ORIGIN).label);
  }

  @Test
  public void calibratesOnTheTaughtSounds() {
    Neighbours neighbours = new Neighbours();
    neighbours.calibrate();
    assertEquals(Double.POSITIVE_INFINITY, neighbours.unknownAbove(), 0);
    neighbours.add("a", new float[] {0, 0});
    neighbours.calibrate();
    assertEquals(Double.POSITIVE_INFINITY, neighbours.unknownAbove(), 0);
    neighbours.add("a", new float[] {1, 0});
    neighbours.add("a", new float[] {3, 0});
    neighbours.calibrate(); // distances 1, 2, 3
    assertEquals(3, neighbours.unknownAbove(), 1e-12);
    neighbours.add("b", new float[] {10, 0});
    neighbours.calibrate(); // distances 7, 9, 10
    assertEquals(7.2, neighbours.unknownAbove(), 1e-12);
  }

  @Test
  public void calibrationTellsTaughtSoundsFromOthers() {
    Random random = new Random(3);
    Neighbours neighbours = new Neighbours();
    for (int i = 0; i < 300; i++) {
      neighbours.add("a", around(random, 0));
      neighbours.add("b", around(random, 10));
      neighbours.add("c", around(random, 20));
    }
    neighbours.calibrate();
    for (int i = 0; i < 50; i++) {
      assertFalse(neighbours.nearest(around(random, 10)).unknown);
      assertTrue(neighbours.nearest(around(random, -40)).unknown);
    }
  }

  @Test
  public void jsonKeepsEverything() {
    Random random = new Random(4);
    String[] labels = {
      "plain",
      "\"quoted\"",
      "back\\slash",
      "line\nbreak\r\t\b\f",
      "Wohnungstür",
      "狗 🐕",
      "\u0000\u001f\u007f\u2028",
      "{\"label\": [1]}",
      "</script>",
      "cut \ud83d"
    };
    Neighbours neighbours = new Neighbours();
    for (String label : labels) {
      neighbours.add(label, new float[] {random.nextFloat(), -1e-30f, Float.MIN_VALUE});
      neighbours.add(label, new float[] {Float.MAX_VALUE, 0.1f, (float) Math.PI});
    }
    neighbours.setUnknownAbove(1.0 / 3);
    String json = neighbours.toJson();
    Neighbours read = Neighbours.fromJson(json);
    assertEquals(Arrays.asList(labels), read.labels());
    assertEquals(1.0 / 3, read.unknownAbove(), 0);
    assertEquals(json, read.toJson());
    assertEquals(2, read.count("狗 🐕"));
    assertArrayEquals(neighbours.prototype("plain"), read.prototype("plain"), 0f);
  }

  @Test
  public void jsonWithoutSounds() {
    Neighbours read = Neighbours.fromJson(new Neighbours().toJson());
    assertTrue(read.labels().isEmpty());
    assertEquals(Double.POSITIVE_INFINITY, read.unknownAbove(), 0);
  }

  @Test
  public void describesErrorsInJson() {
    assertRefused("", "not JSON: the end at character 1, expected a value");
    assertRefused("hello", "not JSON: 'h' at character 1");
    assertRefused("[]", "the whole is not an object");
    assertRefused("{}", "no taught sounds");
    assertRefused("{\"format\": \"playlist\"}", "no taught sounds");
    String start = "{\"format\": \"a2v_tf taught sounds\", \"version\": ";
    assertRefused(start + "2, \"sounds\": []}", "version 2.0: expected 1");
    assertRefused(start + "1}", "\"sounds\" is missing");
    assertRefused(start + "1, \"sounds\": {}}", "\"sounds\" is not a list");
    assertRefused(start + "1, \"sounds\": [3]}", "a sound is not an object");
    String sound = start + "1, \"sounds\": [{\"label\": \"a\", \"embeddings\": ";
    assertRefused(sound + "3}]}", "\"embeddings\" is not a list");
    assertRefused(sound + "[3]}]}", "an embedding is not a list of numbers");
    assertRefused(sound + "[[]]}]}", "an embedding of 0 numbers");
    assertRefused(sound + "[[1, \"2\"]]}]}", "an embedding is not numbers");
    assertRefused(sound + "[[1, 1e99]]}]}", "an embedding with Infinity");
    assertRefused(sound + "[[1, 2], [1]]}]}", "an embedding of 1 numbers: expected 2");
    assertRefused(sound + "[[1, 2]]", "not JSON: the end at character");
    assertRefused(sound + "[[1, 2]]}], \"unknownAbove\": -1}", "unknown above -1.0");
    assertRefused(sound + "[[1, 2]]}], \"unknownAbove\": \"1\"}", "is not a number");
    assertRefused(start + "1, \"sounds\": [{\"embeddings\": [[1]]}]}", "a \"label\" is missing");
  }

  private static void assertRefused(String json, String expected) {
    IllegalArgumentException error =
        assertThrows(json, IllegalArgumentException.class, () -> Neighbours.fromJson(json));
    assertTrue(error.getMessage(), error.getMessage().contains(expected));
  }

  private static float[] around(Random random, float centre) {
    float[] embedding = new float[8];
    for (int i = 0; i < embedding.length; i++) {
      embedding[i] = centre + (float) random.nextGaussian();
    }
    return embedding;
  }

  /** Whether JSON is accepted; anything but the documented exception fails the test. */
  private static boolean isAccepted(String json) {
    try {
      Neighbours.fromJson(json).toJson();
      return true;
    } catch (IllegalArgumentException refused) {
      assertFalse(json, refused.getMessage().isEmpty());
      return false;
    }
  }

  @Test
  public void damagedJsonIsRefusedInOneWay() throws Exception {
    byte[] json = Golden.bytes("neighbours/taught.json");
    String text = new String(json, "UTF-8").trim();
    assertTrue(isAccepted(text));
    for (int end = 0; end < text.length(); end += 17) {
      assertFalse(isAccepted(text.substring(0, end)));
    }
    Random random = new Random(3);
    int accepted = 0;
    for (int i = 0; i < 2_000; i++) {
      byte[] damaged = json.clone();
      for (int j = random.nextInt(8); j >= 0; j--) {
        damaged[random.nextInt(damaged.length)] = (byte) random.nextInt(256);
      }
      accepted += isAccepted(new String(damaged, "UTF-8")) ? 1 : 0;
    }
    assertTrue(accepted + " accepted", accepted < 1_000); // a digit may be another one
  }
}
