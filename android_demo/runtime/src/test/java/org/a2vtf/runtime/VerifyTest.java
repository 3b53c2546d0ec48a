package org.a2vtf.runtime;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.nio.charset.Charset;
import java.util.Arrays;
import org.a2vtf.core.Encoder;
import org.junit.Test;

/**
 * Damaged models: the checks find what Python's find, and what they let pass does not end the
 * process. The damage is in golden/damage.csv.
 */
public class VerifyTest {
  private static final String[] WHOLE = {
    "internal.tflite", "external.tflite", "log_mel.tflite", "window.tflite",
    "reconstruct_streaming.tflite", "reconstruct_window.tflite"
  };

  /** A line of golden/damage.csv. */
  private static final class Damage {
    final String line;
    final String verdict;
    final byte[] content;

    Damage(String line) throws Exception {
      this.line = line;
      String[] parts = line.split(",", -1);
      content = Arrays.copyOf(Golden.bytes(parts[0]), Integer.parseInt(parts[1]));
      for (String edit : parts[2].isEmpty() ? new String[0] : parts[2].split(" ")) {
        String[] words = edit.split(":");
        int place = Integer.parseInt(words[0]);
        for (int i = 0; i < words[1].length() / 2; i++) {
          String digits = words[1].substring(2 * i, 2 * i + 2);
          content[place + i] = (byte) Integer.parseInt(digits, 16);
        }
      }
      verdict = parts[3];
    }
  }

  private static String[] lines() throws Exception {
    String[] lines =
        new String(Golden.bytes("damage.csv"), Charset.forName("UTF-8")).split("\n");
    assertTrue(lines.length + " lines", lines.length > 300);
    return lines;
  }

  @Test
  public void wholeModelsHaveNoFlaw() throws Exception {
    for (String name : WHOLE) {
      assertNull(name, Verify.flaw(Golden.bytes(name)));
    }
  }

  @Test
  public void everyVerdictIsPythons() throws Exception {
    for (String line : lines()) {
      Damage damage = new Damage(line);
      String flaw = Verify.flaw(damage.content);
      String words = flaw == null ? "" : flaw.replaceFirst(" (has|takes|is|cannot) .*", " $1");
      assertEquals(line + ": " + flaw, damage.verdict, words);
    }
  }

  @Test
  public void damagedModelsNeverEndTheProcess() throws Exception {
    String java = System.getProperty("java.home") + File.separator + "bin" + File.separator + "java";
    Process worker =
        new ProcessBuilder(
                java, "-cp", System.getProperty("java.class.path"), VerifyTest.class.getName())
            .redirectErrorStream(true)
            .start();
    String said = new String(Golden.all(worker.getInputStream()), Charset.defaultCharset());
    assertEquals(said, 0, worker.waitFor());
    String[] words = said.trim().split("\\s+"); // ends with "N refused, N ran"
    int refused = Integer.parseInt(words[words.length - 4]);
    int ran = Integer.parseInt(words[words.length - 2]);
    assertEquals(said, lines().length, refused + ran);
    assertTrue(said, refused > 100 && ran > 10);
  }

  /** The worker: opens every damaged model and runs it; only the documented exceptions may occur. */
  public static void main(String[] args) throws Exception {
    int refused = 0;
    int ran = 0;
    for (String line : lines()) {
      byte[] content = new Damage(line).content;
      Models.facts(content);
      try {
        if (line.startsWith("reconstruct")) {
          reconstruct(content);
        } else {
          embed(content);
        }
        ran++;
      } catch (Models.ModelException e) {
        refused++;
      }
    }
    System.out.println(refused + " refused, " + ran + " ran");
  }

  private static void embed(byte[] content) throws Models.ModelException {
    Encoder encoder = Models.open(content, new Models.Options());
    for (int hop = 0; hop < 3; hop++) {
      encoder.embed(new float[encoder.hopSamples()], new float[encoder.embeddingDim()]);
    }
    encoder.close();
  }

  private static void reconstruct(byte[] content) throws Models.ModelException {
    Reconstructor model = Reconstructor.open(content, new Models.Options());
    model.reconstructAt(new float[model.inputSamples()], 0);
    model.close();
  }
}
