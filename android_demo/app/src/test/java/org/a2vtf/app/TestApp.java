package org.a2vtf.app;

import java.io.File;
import java.io.IOException;

/**
 * The app with a fake microphone and the runtime's golden model; for screenshots, with the files in
 * the folder {@code -Da2v.assets=FOLDER}.
 */
public final class TestApp extends DemoApp {
  static final File GOLDEN = new File("../runtime/src/test/resources/golden");

  final FakeMicrophone microphone = new FakeMicrophone();
  final FakePlayer player = new FakePlayer();
  boolean withoutParts;

  @Override
  protected AudioSource.Factory microphone() {
    return microphone;
  }

  @Override
  protected Player speaker() {
    return player;
  }

  @Override
  protected byte[] asset(String name) throws IOException {
    String assets = System.getProperty("a2v.assets");
    if (assets != null) {
      return Files.read(new File(assets, name));
    }
    if (PartLibrary.PARTS.contains(name.replace(".tflite", ""))) {
      if (withoutParts) {
        throw new IOException("no " + name);
      }
      return Files.read(new File(GOLDEN, name.replace(".tflite", "_streaming.tflite")));
    }
    return Files.read(new File(GOLDEN, name.replace("model.tflite", "internal.tflite")));
  }

  @Override
  public Controller controller() {
    Controller controller = super.controller();
    microphone.follow(controller);
    return controller;
  }
}
