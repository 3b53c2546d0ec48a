package org.a2vtf.app;

import java.io.File;
import java.io.IOException;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * The files of a model's other parts: for each, one that the user opened and the app stores, or the
 * app's own, or none.
 */
final class PartLibrary {
  static final String CLASSIFIER = "classifier";
  static final String GAP = "gap";
  static final String RECONSTRUCT = "reconstruct";

  /** What the app can use, besides encoders. */
  static final List<String> PARTS =
      Collections.unmodifiableList(Arrays.asList(CLASSIFIER, GAP, RECONSTRUCT));

  /** Reads the app's own files. */
  interface Assets {
    byte[] asset(String name) throws IOException;
  }

  /** A file of a part. */
  static final class PartFile {
    final String name;
    final byte[] content;

    PartFile(String name, byte[] content) {
      this.name = name;
      this.content = content;
    }
  }

  private final File directory;
  private final String ownName;
  private final Assets assets;

  /**
   * @param directory folder for opened files
   * @param ownName name of the app's own files
   */
  PartLibrary(File directory, String ownName, Assets assets) {
    this.directory = directory;
    this.ownName = ownName;
    this.assets = assets;
  }

  /** The file of a part; null if there is none. */
  PartFile load(String part) {
    try {
      if (file(part).exists()) {
        String name = new String(Files.read(fileName(part)), Files.UTF8);
        return new PartFile(name, Files.read(file(part)));
      }
    } catch (IOException error) {
      forget(part);
    }
    try {
      return new PartFile(ownName, assets.asset(part + ".tflite"));
    } catch (IOException error) {
      return null; // the app was built without one
    }
  }

  /** Stores a file for the next start. */
  void store(String part, PartFile opened) throws IOException {
    Files.write(fileName(part), opened.name.getBytes(Files.UTF8));
    Files.write(file(part), opened.content);
  }

  /** Returns to the app's own file, or to none. */
  void forget(String part) {
    file(part).delete();
    fileName(part).delete();
  }

  private File file(String part) {
    return new File(directory, part + ".tflite");
  }

  private File fileName(String part) {
    return new File(directory, part + ".name");
  }
}
