package org.a2vtf.app;

import java.io.File;
import java.io.IOException;
import org.a2vtf.core.Encoder;

/** The model in use: the one of the app, or a file that the user opened and that is kept. */
public final class ModelLibrary {
  /** A model that was opened without complaint. */
  public static final class Model {
    public final String name;
    public final byte[] content;
    public final boolean bundled;

    /** What the file says of itself, in one line. */
    public final String description;

    /** Changes with the content. */
    public final String id;

    /** One thread, XNNPACK. The caller closes it. */
    public final Encoder encoder;

    private Model(String name, byte[] content, boolean bundled, Encoders encoders)
        throws IOException {
      this.name = name;
      this.content = content;
      this.bundled = bundled;
      id = Files.hash(content);
      description = encoders.describe(content);
      encoder = encoders.open(content, 1, true);
    }
  }

  private final File file;
  private final File fileName;
  private final String bundledName;
  private final byte[] bundled;
  private final Encoders encoders;

  /**
   * @param directory where an opened file is kept
   * @param bundledName what the app's own model is called
   * @param bundled the app's own model
   */
  public ModelLibrary(File directory, String bundledName, byte[] bundled, Encoders encoders) {
    file = new File(directory, "opened.tflite");
    fileName = new File(directory, "opened.name");
    this.bundledName = bundledName;
    this.bundled = bundled;
    this.encoders = encoders;
  }

  /**
   * The kept file if there is one that works, else the app's own model.
   *
   * @throws IOException if not even that one works
   */
  public Model load() throws IOException {
    if (file.exists()) {
      try {
        String name = fileName.exists() ? new String(Files.read(fileName), Files.UTF8) : "";
        return new Model(name, Files.read(file), false, encoders);
      } catch (IOException error) {
        forget(); // an update of the app may read other files than the one before
      }
    }
    return new Model(bundledName, bundled, true, encoders);
  }

  /**
   * Opens a file and keeps it for the next start.
   *
   * @throws IOException if it cannot be used; what was in use before stays
   */
  public Model open(String name, byte[] content) throws IOException {
    Model model = new Model(name, content, false, encoders);
    try {
      Files.write(fileName, name.getBytes(Files.UTF8));
      Files.write(file, content);
    } catch (IOException error) {
      model.encoder.close();
      throw error;
    }
    return model;
  }

  /** Goes back to the app's own model. */
  public Model openBundled() throws IOException {
    Model model = new Model(bundledName, bundled, true, encoders);
    forget();
    return model;
  }

  private void forget() {
    file.delete();
    fileName.delete();
  }
}
