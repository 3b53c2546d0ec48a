package org.a2vtf.app;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.function.ThrowingRunnable;
import org.junit.rules.TemporaryFolder;

public final class ModelLibraryTest {
  @Rule public final TemporaryFolder folder = new TemporaryFolder();
  private final FakeEncoders encoders = new FakeEncoders();
  private ModelLibrary library;

  @Before
  public void open() {
    library = again();
  }

  private ModelLibrary again() {
    return new ModelLibrary(folder.getRoot(), "own", FakeEncoders.MODEL, encoders);
  }

  @Test
  public void startsWithItsOwn() throws IOException {
    ModelLibrary.Model model = library.load();
    assertTrue(model.bundled);
    assertEquals("own", model.name);
    assertEquals("loudness and pitch every 80 ms", model.description);
  }

  @Test
  public void openedFileIsThereAfterARestart() throws IOException {
    ModelLibrary.Model opened = library.open("other.tflite", FakeEncoders.OTHER);
    ModelLibrary.Model model = again().load();
    assertFalse(model.bundled);
    assertEquals("other.tflite", model.name);
    assertArrayEquals(FakeEncoders.OTHER, model.content);
    assertEquals(opened.id, model.id);
    assertNotEquals(library.openBundled().id, model.id);
  }

  @Test
  public void wrongFileIsRefusedAndTheOneBeforeStays() throws IOException {
    library.open("other.tflite", FakeEncoders.OTHER);
    int open = encoders.open.get();
    IOException error =
        assertThrows(
            IOException.class,
            new ThrowingRunnable() {
              @Override
              public void run() throws IOException {
                library.open("wrong.tflite", FakeEncoders.WRONG);
              }
            });
    assertEquals("this is no model", error.getMessage());
    assertEquals("other.tflite", again().load().name);
    assertEquals(open + 1, encoders.open.get());
  }

  @Test
  public void fileThatCannotBeKeptIsClosed() {
    assertTrue(new File(folder.getRoot(), "opened.tflite.part").mkdir());
    assertThrows(
        IOException.class,
        new ThrowingRunnable() {
          @Override
          public void run() throws IOException {
            library.open("other.tflite", FakeEncoders.OTHER);
          }
        });
    assertEquals(0, encoders.open.get());
  }

  @Test
  public void keptFileThatNoLongerWorksGivesWayToTheOwn() throws IOException {
    Files.write(new File(folder.getRoot(), "opened.tflite"), FakeEncoders.WRONG);
    assertTrue(library.load().bundled);
    assertFalse(new File(folder.getRoot(), "opened.tflite").exists());
  }

  @Test
  public void backToItsOwn() throws IOException {
    library.open("other.tflite", FakeEncoders.OTHER);
    assertTrue(library.openBundled().bundled);
    assertTrue(again().load().bundled);
  }
}
