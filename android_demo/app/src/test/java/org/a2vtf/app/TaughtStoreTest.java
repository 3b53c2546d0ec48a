package org.a2vtf.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import org.a2vtf.core.Neighbours;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public final class TaughtStoreTest {
  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  @Test
  public void keepsWhatWasTaughtWithEachModel() throws IOException {
    Neighbours taught = new Neighbours();
    taught.add("Türklingel \"1\"", new float[] {1, 2});
    new TaughtStore(folder.getRoot()).save("a", taught.toJson());
    Neighbours loaded = new TaughtStore(folder.getRoot()).load("a");
    assertEquals(taught.labels(), loaded.labels());
    assertEquals(0, loaded.nearest(new float[] {1, 2}).distance, 0);
    assertTrue(new TaughtStore(folder.getRoot()).load("b").labels().isEmpty());
  }

  @Test
  public void brokenFileIsPutAside() throws IOException {
    File file = new File(folder.getRoot(), "taught-a.json");
    Files.write(file, "{".getBytes(Files.UTF8));
    TaughtStore store = new TaughtStore(folder.getRoot());
    assertTrue(store.load("a").labels().isEmpty());
    assertTrue(new File(folder.getRoot(), "taught-a.json.broken").exists());
    store.save("a", new Neighbours().toJson());
    assertTrue(store.load("a").labels().isEmpty());
  }
}
