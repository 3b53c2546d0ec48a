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

/** What outlives an Activity that is turned: the model, the controller, the benchmark. */
public class DemoApp extends Application {
  private static final int MOST_BYTES = 64 << 20;

  private final Handler main = new Handler(Looper.getMainLooper());
  private Controller controller;
  private BenchmarkRunner benchmark;
  private ModelLibrary library;
  private ModelLibrary.Model model;
  private TaughtStore store;
  private String projectionJson;
  private String failure;
  private String modelMessage;
  private Controller.Listener listener;

  /** Where sound comes from. */
  protected AudioSource.Factory microphone() {
    return Microphone.factory(this);
  }

  /** What opens model files. */
  protected Encoders encoders() {
    return Encoders.TFLITE;
  }

  /** The content of an asset. */
  protected byte[] asset(String name) throws IOException {
    try (InputStream in = getAssets().open(name)) {
      return Files.read(in, MOST_BYTES);
    }
  }

  /** Loads the model on the first call. Main thread only, as all methods here. */
  public Controller controller() {
    if (controller == null) {
      controller = new Controller(microphone());
      store = new TaughtStore(getFilesDir());
      byte[] bundled = new byte[0];
      try {
        bundled = asset("model.tflite");
        projectionJson = new String(asset("model.json"), Files.UTF8);
      } catch (IOException error) {
        // Without the map: a random one. Without the model: its opening fails below.
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

  /** The model in use; null where none could be opened. */
  public ModelLibrary.Model model() {
    controller();
    return model;
  }

  /** Why there is no model; null where there is one. */
  public String failure() {
    return failure;
  }

  /** What came of the last file that was opened; null for nothing to say. */
  public String modelMessage() {
    return modelMessage;
  }

  /** Told when {@link #modelMessage} changes. */
  public void setListener(Controller.Listener listener) {
    this.listener = listener;
  }

  /** Opens a model file in the background; where that fails, the model before stays in use. */
  public void openModel(final Uri uri) {
    controller();
    final String name = name(uri);
    say(getString(R.string.model_opening, name));
    new Thread("a2v-open") {
      @Override
      public void run() {
        try (InputStream in = getContentResolver().openInputStream(uri)) {
          if (in == null) {
            throw new IOException(uri.toString());
          }
          opened(name, library.open(name, Files.read(in, MOST_BYTES)), null);
        } catch (IOException | RuntimeException error) {
          opened(name, null, String.valueOf(error.getMessage()));
        }
      }
    }.start();
  }

  /** Goes back to the app's own model. */
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

  /** From the background thread: a model or an error. */
  private void opened(final String name, final ModelLibrary.Model next, final String error) {
    main.post(
        new Runnable() {
          @Override
          public void run() {
            if (next == null) {
              refuse(name, error);
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

  /** What the file is called, or at least the end of its address. */
  private String name(Uri uri) {
    try (Cursor cursor =
        getContentResolver()
            .query(uri, new String[] {OpenableColumns.DISPLAY_NAME}, null, null, null)) {
      if (cursor != null && cursor.moveToFirst() && cursor.getString(0) != null) {
        return cursor.getString(0);
      }
    } catch (RuntimeException error) {
      // A provider that fails here may still give the content.
    }
    return String.valueOf(uri.getLastPathSegment());
  }

  private void use(ModelLibrary.Model next) {
    Neighbours taught = store.load(next.id);
    String json = next.bundled ? projectionJson : null;
    int dim = next.encoder.embeddingDim();
    controller.setModel(next.encoder, MapProjection.read(json, dim), taught);
    model = next;
    failure = null;
  }
}
