package org.a2vtf.app;

import java.io.File;
import java.io.IOException;
import org.a2vtf.core.Neighbours;

/** Taught sounds on the device: a JSON file for each model, for no two models share a space. */
public final class TaughtStore {
  private final File directory;

  public TaughtStore(File directory) {
    this.directory = directory;
  }

  /** What was taught with a model; nothing where there is no file, or a broken one. */
  public Neighbours load(String modelId) {
    File file = file(modelId);
    if (!file.exists()) {
      return new Neighbours();
    }
    try {
      return Neighbours.fromJson(new String(Files.read(file), Files.UTF8));
    } catch (IOException | IllegalArgumentException error) {
      file.renameTo(new File(file.getPath() + ".broken"));
      return new Neighbours();
    }
  }

  public void save(String modelId, String json) throws IOException {
    Files.write(file(modelId), json.getBytes(Files.UTF8));
  }

  private File file(String modelId) {
    return new File(directory, "taught-" + modelId + ".json");
  }
}
