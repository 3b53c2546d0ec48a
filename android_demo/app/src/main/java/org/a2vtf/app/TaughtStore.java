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

  /**
   * The sounds taught with a model; none if the file is missing. A file that is damaged, of a newer
   * version or of embeddings of another size is put aside.
   *
   * @param dim numbers in an embedding of the model
   */
  public Neighbours load(String modelId, int dim) {
    File file = file(modelId);
    if (!file.exists()) {
      return new Neighbours();
    }
    try {
      Neighbours taught = Neighbours.fromJson(new String(Files.read(file), Files.UTF8));
      if (taught.dim() == 0 || taught.dim() == dim) {
        return taught;
      }
    } catch (IOException | IllegalArgumentException error) {
      // put aside
    }
    file.renameTo(unused(file.getPath() + ".broken"));
    return new Neighbours();
  }

  public void save(String modelId, String json) throws IOException {
    Files.write(file(modelId), json.getBytes(Files.UTF8));
  }

  private File file(String modelId) {
    return new File(directory, "taught-" + modelId + ".json");
  }

  /** A file of this name, or with a number after it, that does not exist. */
  private static File unused(String path) {
    File file = new File(path);
    for (int i = 2; file.exists(); i++) {
      file = new File(path + i);
    }
    return file;
  }
}
