package org.a2vtf.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
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
    Neighbours loaded = new TaughtStore(folder.getRoot()).load("a", 2);
    assertEquals(taught.labels(), loaded.labels());
    assertEquals(0, loaded.nearest(new float[] {1, 2}).distance, 0);
    assertTrue(new TaughtStore(folder.getRoot()).load("b", 2).labels().isEmpty());
  }

  @Test
  public void brokenFileIsPutAside() throws IOException {
    File file = new File(folder.getRoot(), "taught-a.json");
    Files.write(file, "{".getBytes(Files.UTF8));
    TaughtStore store = new TaughtStore(folder.getRoot());
    assertTrue(store.load("a", 2).labels().isEmpty());
    assertTrue(new File(folder.getRoot(), "taught-a.json.broken").exists());
    store.save("a", new Neighbours().toJson());
    assertTrue(store.load("a", 2).labels().isEmpty());
  }

  private void assertPutAside(String json) throws IOException {
    File file = new File(folder.getRoot(), "taught-c.json");
    int before = folder.getRoot().listFiles().length;
    Files.write(file, json.getBytes(Files.UTF8));
    assertTrue(json, new TaughtStore(folder.getRoot()).load("c", 2).labels().isEmpty());
    assertFalse(json, file.exists());
    assertEquals(json, before + 1, folder.getRoot().listFiles().length); // each is kept
  }

  @Test
  public void soundsOfAnotherModelOrANewerVersionArePutAside() throws IOException {
    Neighbours taught = new Neighbours();
    taught.add("door", new float[] {1, 2});
    String json = taught.toJson();
    assertPutAside(json.replace("\"version\": 1", "\"version\": 2"));
    assertPutAside(json.replace("[1.0, 2.0]", "[1.0, 2.0, 3.0]"));
    assertPutAside(json.replace("2.0", "1e99"));
    assertPutAside(json.substring(0, json.length() / 2));
    assertPutAside("");
  }
}
