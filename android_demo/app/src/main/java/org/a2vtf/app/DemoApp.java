package org.a2vtf.app;

import android.app.Application;
import android.database.Cursor;
import android.net.Uri;
import android.os.Handler;
import android.os.Looper;
import android.provider.OpenableColumns;
import java.io.IOException;
import java.io.InputStream;
import org.a2vtf.core.Neighbours;
import org.a2vtf.runtime.Models;

/** The state that survives a rotation of the Activity: model, controller and benchmark. */
public class DemoApp extends Application {
  private static final int MOST_BYTES = 64 << 20;

  private final Handler main = new Handler(Looper.getMainLooper());
  private Controller controller;
  private BenchmarkRunner benchmark;
  private ModelLibrary library;
  private ModelLibrary.Model model;
  private TaughtStore store;
  private Explorer explorer;
  private Player player;
  private String projectionJson;
  private String failure;
  private String modelMessage;
  private Controller.Listener listener;

  /** The source of sound. */
  protected AudioSource.Factory microphone() {
    return Microphone.factory(this);
  }

  /** Opens model files. */
  protected Encoders encoders() {
    return Encoders.TFLITE;
  }

  /** Where sound is played. */
  protected Player speaker() {
    return new Speaker();
  }

  /** The content of an asset. */
  protected byte[] asset(String name) throws IOException {
    try (InputStream in = getAssets().open(name)) {
      return Files.read(in, MOST_BYTES);
    }
  }

  /** Loads the model on the first call. Like all methods here, for the main thread only. */
  public Controller controller() {
    if (controller == null) {
      controller = new Controller(microphone());
      store = new TaughtStore(getFilesDir());
      byte[] bundled = new byte[0];
      try {
        bundled = asset("model.tflite");
        projectionJson = new String(asset("model.json"), Files.UTF8);
      } catch (IOException error) {
        // A missing map is replaced by a random one; a missing model is an error below.
      }
      library =
          new ModelLibrary(getFilesDir(), getString(R.string.model_bundled), bundled, encoders());
      try {
        use(library.load());
      } catch (IOException error) {
        failure = error.getMessage();
      }
    }
    return controller;
  }

  public BenchmarkRunner benchmark() {
    if (benchmark == null) {
      benchmark = new BenchmarkRunner(encoders());
    }
    return benchmark;
  }

  /** What asks the model's other parts. */
  Explorer explorer() {
    if (explorer == null) {
      PartLibrary.Assets assets =
          new PartLibrary.Assets() {
            @Override
            public byte[] asset(String name) throws IOException {
              return DemoApp.this.asset(name);
            }
          };
      explorer =
          new Explorer(new PartLibrary(getFilesDir(), getString(R.string.part_bundled), assets));
    }
    return explorer;
  }

  Player player() {
    if (player == null) {
      player = speaker();
    }
    return player;
  }

  /** The model in use; null if none could be opened. */
  public ModelLibrary.Model model() {
    controller();
    return model;
  }

  /** Why there is no model; null if there is one. */
  public String failure() {
    return failure;
  }

  /** Message about the last opened file; null if there is none. */
  public String modelMessage() {
    return modelMessage;
  }

  /** Is called when {@link #modelMessage} changes. */
  public void setListener(Controller.Listener listener) {
    this.listener = listener;
  }

  /**
   * Opens a file in the background, an encoder or another part; if that fails, the previous one
   * remains in use.
   */
  public void openModel(final Uri uri) {
    controller();
    final Explorer parts = explorer();
    final String name = name(uri);
    say(getString(R.string.model_opening, name));
    new Thread("a2v-open") {
      @Override
      public void run() {
        try (InputStream in = getContentResolver().openInputStream(uri)) {
          if (in == null) {
            throw new IOException(uri.toString());
          }
          byte[] content = Files.read(in, MOST_BYTES);
          String part = Models.part(content);
          if (PartLibrary.PARTS.contains(part)) {
            parts.use(part, new PartLibrary.PartFile(name, content));
            opened(name, null, null);
          } else {
            opened(name, library.open(name, content), null);
          }
        } catch (IOException | RuntimeException error) {
          opened(name, null, String.valueOf(error.getMessage()));
        }
      }
    }.start();
  }

  /** Returns to the app's own model. */
  public void openBundledModel() {
    controller();
    try {
      use(library.openBundled());
      say(getString(R.string.model_opened, model.name));
    } catch (IOException error) {
      refuse(getString(R.string.model_bundled), error.getMessage());
    }
  }

  /** Writes the taught sounds to the app's own folder. */
  public void saveTaught() throws IOException {
    if (model != null) {
      store.save(model.id, controller.taughtJson());
    }
  }

  /** Takes a model, an error, or neither of another part, from the background thread. */
  private void opened(final String name, final ModelLibrary.Model next, final String error) {
    main.post(
        new Runnable() {
          @Override
          public void run() {
            if (error != null) {
              refuse(name, error);
            } else if (next == null) {
              say(getString(R.string.part_opened, name));
            } else {
              use(next);
              say(getString(R.string.model_opened, name));
            }
          }
        });
  }

  private void refuse(String name, String why) {
    String text = getString(R.string.model_refused, name, why);
    say(model == null ? text : text + " " + getString(R.string.model_kept));
  }

  private void say(String message) {
    modelMessage = message;
    if (listener != null) {
      listener.onChanged();
    }
  }

  /** The name of the file, or at least the end of its URI. */
  private String name(Uri uri) {
    try (Cursor cursor =
        getContentResolver()
            .query(uri, new String[] {OpenableColumns.DISPLAY_NAME}, null, null, null)) {
      if (cursor != null && cursor.moveToFirst() && cursor.getString(0) != null) {
        return cursor.getString(0);
      }
    } catch (RuntimeException error) {
      // The provider may still give the content.
    }
    return String.valueOf(uri.getLastPathSegment());
  }

  private void use(ModelLibrary.Model next) {
    int dim = next.encoder.embeddingDim();
    Neighbours taught = store.load(next.id, dim);
    String json = next.bundled ? projectionJson : null;
    controller.setModel(next.encoder, MapProjection.read(json, dim), taught);
    model = next;
    failure = null;
  }
}
