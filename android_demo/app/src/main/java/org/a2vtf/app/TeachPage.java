package org.a2vtf.app;

import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.net.Uri;
import android.os.Handler;
import android.os.Looper;
import android.view.KeyEvent;
import android.view.LayoutInflater;
import android.view.MotionEvent;
import android.view.View;
import android.view.ViewGroup;
import android.view.inputmethod.EditorInfo;
import android.view.inputmethod.InputMethodManager;
import android.widget.Button;
import android.widget.EditText;
import android.widget.TextView;
import android.widget.Toast;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Map;

/** Records, names and lists sounds. */
final class TeachPage extends Page {
  private static final int TIMED_MILLIS = 3_000;
  private static final int SURE_MILLIS = 3_000;

  private final RecognitionPanel recognised;
  private final TextView hint;
  private final Button record;
  private final View naming;
  private final EditText name;
  private final ViewGroup list;
  private final View none;
  private final View export;
  private final Handler handler = new Handler(Looper.getMainLooper());
  private Map<String, Integer> listed;

  TeachPage(MainActivity activity) {
    super(activity, R.id.page_teach);
    recognised = new RecognitionPanel(view);
    hint = view.findViewById(R.id.record_hint);
    record = view.findViewById(R.id.record);
    naming = view.findViewById(R.id.naming);
    name = view.findViewById(R.id.name);
    list = view.findViewById(R.id.taught);
    none = view.findViewById(R.id.taught_none);
    export = view.findViewById(R.id.export);
    listenToRecord();
    listenToNaming();
    export.setOnClickListener(
        new View.OnClickListener() {
          @Override
          public void onClick(View clicked) {
            chooseExport();
          }
        });
  }

  @Override
  boolean listens() {
    return true;
  }

  @Override
  void refresh() {
    Controller controller = app.controller();
    boolean pending = controller.pending() > 0;
    naming.setVisibility(pending ? View.VISIBLE : View.GONE);
    if (pending) {
      int number = controller.pending();
      hint.setText(activity.getResources().getQuantityString(R.plurals.recorded, number, number));
    }
    record.setVisibility(pending ? View.GONE : View.VISIBLE);
    record.setEnabled(controller.state() == Controller.State.LISTENING);
    showList(controller.taught());
    tick();
  }

  @Override
  void tick() {
    Controller controller = app.controller();
    recognised.show(controller);
    boolean recording = controller.isRecording();
    if (recording != record.isActivated()) {
      record.setActivated(recording);
    }
    record.setText(
        recording
            ? text(R.string.recording, controller.recordedSeconds())
            : text(R.string.record));
  }

  private void listenToRecord() {
    record.setOnTouchListener(
        new View.OnTouchListener() {
          @Override
          public boolean onTouch(View touched, MotionEvent event) {
            switch (event.getActionMasked()) {
              case MotionEvent.ACTION_DOWN:
                touched.getParent().requestDisallowInterceptTouchEvent(true);
                begin();
                return true;
              case MotionEvent.ACTION_UP:
              case MotionEvent.ACTION_CANCEL:
                end();
                return true;
              default:
                return true;
            }
          }
        });
    // A screen reader, a keyboard or a switch can click, but not hold.
    record.setOnClickListener(
        new View.OnClickListener() {
          @Override
          public void onClick(View clicked) {
            begin();
            handler.postDelayed(
                new Runnable() {
                  @Override
                  public void run() {
                    end();
                  }
                },
                TIMED_MILLIS);
          }
        });
  }

  private void begin() {
    hint.setText(R.string.teach_hint);
    if (!app.controller().beginRecording()) {
      hint.setText(R.string.record_not_listening);
    }
  }

  private void end() {
    if (app.controller().isRecording() && app.controller().endRecording() == 0) {
      hint.setText(R.string.record_too_short);
    }
    refresh();
  }

  private void listenToNaming() {
    view.findViewById(R.id.save)
        .setOnClickListener(
            new View.OnClickListener() {
              @Override
              public void onClick(View clicked) {
                save();
              }
            });
    view.findViewById(R.id.discard)
        .setOnClickListener(
            new View.OnClickListener() {
              @Override
              public void onClick(View clicked) {
                app.controller().discard();
                named();
              }
            });
    name.setOnEditorActionListener(
        new TextView.OnEditorActionListener() {
          @Override
          public boolean onEditorAction(TextView edited, int action, KeyEvent event) {
            if (action == EditorInfo.IME_ACTION_DONE) {
              save();
              return true;
            }
            return false;
          }
        });
  }

  private void save() {
    String label = name.getText().toString().trim();
    if (label.isEmpty()) {
      name.setError(text(R.string.name_needed));
      return;
    }
    app.controller().teach(label);
    store();
    named();
  }

  private void named() {
    name.setText("");
    name.setError(null);
    InputMethodManager keyboard = activity.getSystemService(InputMethodManager.class);
    if (keyboard != null) {
      keyboard.hideSoftInputFromWindow(name.getWindowToken(), 0);
    }
    hint.setText(R.string.teach_hint);
    refresh();
  }

  private void store() {
    try {
      app.saveTaught();
    } catch (IOException error) {
      tell(text(R.string.save_failed, error.getMessage()));
    }
  }

  private void showList(Map<String, Integer> taught) {
    none.setVisibility(taught.isEmpty() ? View.VISIBLE : View.GONE);
    export.setVisibility(taught.isEmpty() ? View.GONE : View.VISIBLE);
    if (taught.equals(listed)) {
      return;
    }
    listed = taught;
    list.removeAllViews();
    LayoutInflater inflater = activity.getLayoutInflater();
    for (Map.Entry<String, Integer> sound : taught.entrySet()) {
      View row = inflater.inflate(R.layout.row_taught, list, false);
      ((TextView) row.findViewById(R.id.row_label)).setText(sound.getKey());
      int count = sound.getValue();
      ((TextView) row.findViewById(R.id.row_count))
          .setText(activity.getResources().getQuantityString(R.plurals.taught_count, count, count));
      listenToDelete((Button) row.findViewById(R.id.row_delete), sound.getKey());
      list.addView(row);
    }
  }

  /** The first tap asks for confirmation, the second one deletes. */
  private void listenToDelete(final Button button, final String label) {
    button.setContentDescription(text(R.string.delete_description, label));
    button.setOnClickListener(
        new View.OnClickListener() {
          @Override
          public void onClick(View clicked) {
            if (button.isActivated()) {
              app.controller().forget(label);
              store();
              refresh();
              return;
            }
            button.setActivated(true);
            button.setText(R.string.delete_sure);
            button.setContentDescription(text(R.string.delete_sure_description, label));
            handler.postDelayed(
                new Runnable() {
                  @Override
                  public void run() {
                    button.setActivated(false);
                    button.setText(R.string.delete);
                    button.setContentDescription(text(R.string.delete_description, label));
                  }
                },
                SURE_MILLIS);
          }
        });
  }

  private void chooseExport() {
    Intent choose =
        new Intent(Intent.ACTION_CREATE_DOCUMENT)
            .addCategory(Intent.CATEGORY_OPENABLE)
            .setType("application/json")
            .putExtra(Intent.EXTRA_TITLE, "taught_sounds.json");
    try {
      activity.startActivityForResult(choose, MainActivity.EXPORT);
    } catch (ActivityNotFoundException error) {
      tell(text(R.string.no_app));
    }
  }

  /** Writes the taught sounds to the file that the user chose. */
  void export(Uri uri) {
    try (OutputStream out = activity.getContentResolver().openOutputStream(uri)) {
      if (out == null) {
        throw new IOException(uri.toString());
      }
      out.write(app.controller().taughtJson().getBytes(Files.UTF8));
      tell(text(R.string.export_done));
    } catch (IOException | SecurityException error) {
      tell(text(R.string.export_failed, error.getMessage()));
    }
  }

  private void tell(String message) {
    Toast.makeText(activity, message, Toast.LENGTH_LONG).show();
  }
}
