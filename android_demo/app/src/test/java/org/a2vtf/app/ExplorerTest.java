package org.a2vtf.app;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.util.Arrays;
import java.util.concurrent.Callable;
import org.a2vtf.core.LogMel;
import org.a2vtf.runtime.Classifier;
import org.a2vtf.runtime.GapEstimator;
import org.a2vtf.runtime.Models;
import org.a2vtf.runtime.Reconstructor;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.function.ThrowingRunnable;
import org.junit.rules.TemporaryFolder;

/** With the runtime's golden files, whose slices are 32 frames long. */
public final class ExplorerTest {
  private static final int SLICE = LogMel.samples(32);
  private static final short[] SOUND = Sounds.inRoom(Sounds.doorbell(4));

  @Rule public final TemporaryFolder folder = new TemporaryFolder();
  private boolean bundled = true;
  private Explorer explorer;

  @Before
  public void open() {
    explorer = again();
  }

  private Explorer again() {
    PartLibrary.Assets assets =
        new PartLibrary.Assets() {
          @Override
          public byte[] asset(String name) throws IOException {
            if (!bundled) {
              throw new IOException("no " + name);
            }
            return golden(name.replace(".tflite", "_streaming.tflite"));
          }
        };
    return new Explorer(new PartLibrary(folder.getRoot(), "own", assets));
  }

  private static byte[] golden(String name) throws IOException {
    return Files.read(new File(TestApp.GOLDEN, name));
  }

  private Explorer.Findings answer() {
    Wait.until(
        "the answer",
        new Callable<Boolean>() {
          @Override
          public Boolean call() {
            return !explorer.isBusy();
          }
        });
    return explorer.findings();
  }

  private static float[] wave(short[] pcm) {
    float[] wave = new float[pcm.length];
    for (int i = 0; i < pcm.length; i++) {
      wave[i] = pcm[i] / 32_768f;
    }
    return wave;
  }

  private static Reconstructor reconstructor() throws Exception {
    return Reconstructor.open(golden("reconstruct_streaming.tflite"), options());
  }

  private static Models.Options options() {
    return new Models.Options();
  }

  @Test
  public void expectsWhatTheFileSaysOfTheMutedRecording() throws Exception {
    assertTrue(explorer.hold(SOUND));
    explorer.mark(16_000, 32_000);
    Explorer.Findings findings = answer();
    assertEquals(400 * LogMel.BINS - 2 * LogMel.BINS, findings.logMel.length);
    assertArrayEquals(new int[] {16_000}, findings.expected.starts);
    float[] muted = wave(SOUND);
    Arrays.fill(muted, 16_000, 16_000 + SLICE, 0f);
    try (Reconstructor model = reconstructor()) {
      float[][] expected = model.reconstructAt(muted, 16_000 - 34 * LogMel.HOP);
      assertArrayEquals(expected[0], findings.expected.slices[0], 0f);
    }
    assertTrue(findings.expected.errors[0] > 0);
    assertFalse(findings.expected.fromItself);
    assertNull(findings.failure);
  }

  @Test
  public void labelsAndGapAreThoseOfTheFiles() throws Exception {
    explorer.hold(SOUND);
    explorer.mark(16_000, 32_000);
    Explorer.Findings findings = answer();
    float[] wave = wave(SOUND);
    int end = 16_000 + Explorer.SPAN;
    try (Classifier model = Classifier.open(golden("classifier_streaming.tflite"), options())) {
      float[] scores = model.classifyAt(wave, end);
      assertEquals(3, findings.labels.size());
      float before = 1;
      for (Explorer.Label label : findings.labels) {
        assertEquals(scores[model.labels().indexOf(label.name)], label.score, 0f);
        assertTrue(label.score <= before);
        before = label.score;
      }
    }
    try (GapEstimator model = GapEstimator.open(golden("gap_streaming.tflite"), options())) {
      assertEquals(model.secondsBetween(wave, end, end + 16_000), findings.seconds, 0f);
    }
  }

  @Test
  public void soundsDifferFromTheRecordingOnlyWhereItIsMuted() {
    explorer.hold(SOUND);
    explorer.mark(16_000, 0);
    Explorer.Findings findings = answer();
    short[] silenced = findings.expected.silenced();
    for (short[] sound : new short[][] {silenced, findings.sound}) {
      assertEquals(SOUND.length, sound.length);
      int changed = 0;
      for (int i = 0; i < SOUND.length; i++) {
        boolean inside = i >= 16_000 && i < 16_000 + SLICE;
        assertTrue("at " + i, inside || sound[i] == SOUND[i]);
        changed += sound[i] == SOUND[i] ? 0 : 1;
      }
      assertTrue(changed > SLICE / 2);
    }
    assertEquals(0, silenced[16_000 + SLICE / 2]);
    assertFalse(Arrays.equals(silenced, findings.sound));
  }

  @Test
  public void marksStayInTheRecordingOnWholeFrames() {
    explorer.hold(SOUND);
    explorer.mark(-5, 1_000_000);
    assertEquals(0, explorer.first());
    int last = (SOUND.length - Explorer.SPAN) / LogMel.HOP * LogMel.HOP;
    assertEquals(last, explorer.second());
    explorer.mark(1_679, 3_200);
    assertEquals(1_600, explorer.first());
  }

  @Test
  public void momentsTooNearToTheEndsHaveNoExpectation() {
    explorer.hold(SOUND);
    explorer.mark(0, 0);
    Explorer.Findings findings = answer();
    assertNull(findings.expected);
    assertArrayEquals(
        new int[] {34 * LogMel.HOP, SOUND.length - LogMel.samples(66)}, findings.range);
    explorer.mark(findings.range[0], 0);
    assertNotNull(answer().expected);
  }

  @Test
  public void onlyTheLastQuestionIsAnswered() {
    explorer.hold(SOUND);
    for (int i = 0; i < 200; i++) {
      explorer.mark(10_000 + 160 * i, 0);
    }
    assertArrayEquals(new int[] {explorer.first()}, answer().expected.starts);
  }

  @Test
  public void tooShortSoundIsNotHeld() {
    assertFalse(explorer.hold(new short[Explorer.SPAN - 1]));
    assertNull(explorer.recording());
    assertTrue(explorer.hold(new short[Explorer.SPAN]));
    assertEquals(0, explorer.first());
    assertNull(answer().expected);
  }

  @Test
  public void aReleasedRecordingIsForgotten() {
    explorer.hold(SOUND);
    assertSame(SOUND, explorer.recording());
    answer();
    explorer.release();
    assertNull(explorer.recording());
    assertNull(answer().expected);
    explorer.mark(3, 4); // nothing to mark
    assertNull(answer().logMel);
  }

  @Test
  public void openedFilesAreThereAfterARestart() throws IOException {
    bundled = false;
    explorer.prepare();
    answer();
    assertNull(explorer.name(PartLibrary.RECONSTRUCT));
    explorer.hold(SOUND);
    explorer.mark(16_000, 0);
    assertNull(answer().expected);
    byte[] content = golden("reconstruct_window.tflite");
    explorer.use(PartLibrary.RECONSTRUCT, new PartLibrary.PartFile("mine.tflite", content));
    assertNotNull(answer().expected);
    explorer = again();
    explorer.prepare();
    answer();
    assertEquals("mine.tflite", explorer.name(PartLibrary.RECONSTRUCT));
  }

  @Test
  public void filesThatDoNotWorkAreRefusedAndTheOneBeforeStays() {
    IOException error =
        assertThrows(
            IOException.class,
            new ThrowingRunnable() {
              @Override
              public void run() throws IOException {
                byte[] other = golden("window.tflite");
                explorer.use(
                    PartLibrary.RECONSTRUCT, new PartLibrary.PartFile("wrong", other));
              }
            });
    assertTrue(error.getMessage(), error.getMessage().contains("expected \"reconstruct\""));
    explorer.hold(SOUND);
    explorer.mark(16_000, 0);
    assertNotNull(answer().expected);
    assertEquals("own", explorer.name(PartLibrary.RECONSTRUCT));
  }

  @Test
  public void aStoredFileThatNoLongerWorksGivesWayToTheOwn() throws IOException {
    new PartLibrary(folder.getRoot(), "own", null)
        .store(PartLibrary.RECONSTRUCT, new PartLibrary.PartFile("old", new byte[] {1}));
    explorer.prepare();
    answer();
    assertFalse(new File(folder.getRoot(), "reconstruct.tflite").exists());
    assertEquals("own", explorer.name(PartLibrary.RECONSTRUCT));
  }
}
