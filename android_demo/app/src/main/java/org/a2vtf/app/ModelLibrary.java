package org.a2vtf.app;

import java.io.File;
import java.io.IOException;
import org.a2vtf.core.Encoder;

/** The model in use: the app's own, or a file that the user opened and the app stores. */
public final class ModelLibrary {
  /** A model that was opened successfully. */
  public static final class Model {
    public final String name;
    public final byte[] content;
    public final boolean bundled;

    /** Description of the model, in one line. */
    public final String description;

    /** Identifies the content. */
    public final String id;

    /** Opens an encoder with one thread and XNNPACK. The caller closes it. */
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
   * @param directory folder for an opened file
   * @param bundledName name of the app's own model
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
   * The stored file if there is one that works, otherwise the app's own model.
   *
   * @throws IOException if the app's own model does not work either
   */
  public Model load() throws IOException {
    if (file.exists()) {
      try {
        String name = fileName.exists() ? new String(Files.read(fileName), Files.UTF8) : "";
        return new Model(name, Files.read(file), false, encoders);
      } catch (IOException error) {
        forget(); // a new version of the app may not read it
      }
    }
    return new Model(bundledName, bundled, true, encoders);
  }

  /**
   * Opens a file and stores it for the next start.
   *
   * @throws IOException if it cannot be used; the previous model remains in use
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

  /** Returns to the app's own model. */
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
