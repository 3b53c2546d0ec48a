package org.a2vtf.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import org.junit.Test;

public class JsonTest {
  @Test
  public void readsEveryKindOfValue() {
    Map<String, Object> expected = new LinkedHashMap<>();
    expected.put("a", Arrays.asList(1.0, -0.5, 2e10, 0.0));
    expected.put("b", Collections.emptyMap());
    expected.put("c", Arrays.asList(true, false, null, Collections.emptyList()));
    expected.put("", "x\"\\/\b\f\n\r\té€");
    String json =
        " {\"a\":[1,-0.5 , 2E+10,0], \"b\": {},\n\t\"c\": [true,false,null,[ ]],"
            + "\"\": \"x\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9€\"}\r\n";
    assertEquals(expected, Json.parse(json));
  }

  @Test
  public void describesErrorsWithTheirPositions() {
    assertRefused("{\"a\": 1,}", "not JSON: '}' at character 9, expected a name in quotes");
    assertRefused("[1 2]", "not JSON: '2' at character 4, expected ']'");
    assertRefused("{\"a\" 1}", "not JSON: '1' at character 6, expected ':'");
    assertRefused("1 1", "not JSON: '1' at character 3, expected the end of the text");
    assertRefused("[1,", "not JSON: the end at character 4, expected a value");
    assertRefused("\"a", "not JSON: the end at character 3, expected a closing quote");
    assertRefused("\"\\x\"", "not JSON: 'x' at character 3, expected an escape");
    assertRefused("\"\\u12\"", "not JSON: 'u' at character 3, expected an escape");
    assertRefused("\"\\", "not JSON: the end at character 3, expected an escape");
    assertRefused("\"a\nb\"", "expected no control character");
    for (String wrong : "01,1.,.5,+1,1e,-,tru,nul,NaN,Infinity,'a',0x1,--1".split(",")) {
      assertRefused(wrong, "expected");
    }
  }

  @Test
  public void manyBracketsDoNotOverflowTheStack() {
    char[] brackets = new char[1_000_000];
    Arrays.fill(brackets, '[');
    assertRefused(new String(brackets), "expected no more than 100 brackets");
  }

  @Test
  public void readsTheStringsItWrites() {
    Random random = new Random(1);
    for (int i = 0; i < 2_000; i++) {
      StringBuilder text = new StringBuilder();
      for (int length = random.nextInt(8); length > 0; length--) {
        text.append((char) random.nextInt(random.nextBoolean() ? 128 : 65_536));
      }
      assertEquals(text.toString(), Json.parse(Json.quote(text.toString())));
    }
    assertEquals("\"a\\\"b\\\\\\u000a\"", Json.quote("a\"b\\\n"));
  }

  private static void assertRefused(String json, String expected) {
    IllegalArgumentException error =
        assertThrows(json, IllegalArgumentException.class, () -> Json.parse(json));
    assertTrue(error.getMessage(), error.getMessage().contains(expected));
  }
}
