package org.a2vtf.app;

import java.io.File;
import java.io.IOException;
import org.a2vtf.core.Neighbours;

/** Stores taught sounds: a JSON file for each model, since embedding spaces differ. */
public final class TaughtStore {
  private final File directory;

  public TaughtStore(File directory) {
    this.directory = directory;
  }

  /** The sounds taught with a model; none if the file is missing or damaged. */
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
