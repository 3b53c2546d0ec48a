package org.a2vtf.app;

import android.Manifest;
import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.net.Uri;
import android.os.Bundle;
import android.os.Handler;
import android.os.Looper;
import android.provider.Settings;
import android.view.View;
import android.widget.Button;
import android.widget.TextView;
import android.widget.Toast;

/** The five screens, the microphone permission, and notices if something is missing. */
public final class MainActivity extends Activity {
  static final int OPEN_MODEL = 1;
  static final int EXPORT = 2;
  private static final int PERMISSION = 3;

  static final int LISTEN = 0;
  static final int TEACH = 1;
  static final int EXPLORE = 2;
  static final int BENCHMARK = 3;
  static final int MODEL = 4;
  private static final int[] TABS = {
    R.id.tab_listen, R.id.tab_teach, R.id.tab_explore, R.id.tab_benchmark, R.id.tab_model
  };

  private static final int TICK_MILLIS = 33;
  private static final String TAB = "tab";
  private static final String ASKED = "asked";
  private static final String FOR_GOOD = "for_good";

  private final Handler handler = new Handler(Looper.getMainLooper());
  private final Page[] pages = new Page[TABS.length];
  private DemoApp app;
  private View notice;
  private TextView noticeText;
  private Button noticeButton;
  private int tab;
  private boolean resumed;
  private boolean asked;
  private boolean deniedForGood;

  private final Runnable refresh =
      new Runnable() {
        @Override
        public void run() {
          refresh();
        }
      };

  private final Runnable tick =
      new Runnable() {
        @Override
        public void run() {
          pages[tab].tick();
          handler.postDelayed(this, TICK_MILLIS);
        }
      };

  /** Listens to the controller, the benchmark and the app, on any thread. */
  private final Controller.Listener listener =
      new Controller.Listener() {
        @Override
        public void onChanged() {
          handler.removeCallbacks(refresh);
          handler.post(refresh);
        }
      };

  @Override
  protected void onCreate(Bundle state) {
    super.onCreate(state);
    app = (DemoApp) getApplication();
    setContentView(R.layout.activity_main);
    notice = findViewById(R.id.notice);
    noticeText = findViewById(R.id.notice_text);
    noticeButton = findViewById(R.id.notice_button);
    pages[LISTEN] = new ListenPage(this);
    pages[TEACH] = new TeachPage(this);
    pages[EXPLORE] = new ExplorePage(this);
    pages[BENCHMARK] = new BenchmarkPage(this);
    pages[MODEL] = new ModelPage(this);
    for (int i = 0; i < TABS.length; i++) {
      final int index = i;
      findViewById(TABS[i])
          .setOnClickListener(
              new View.OnClickListener() {
                @Override
                public void onClick(View clicked) {
                  select(index);
                }
              });
    }
    if (state != null) {
      tab = state.getInt(TAB);
      asked = state.getBoolean(ASKED);
      deniedForGood = state.getBoolean(FOR_GOOD);
    }
    select(tab);
  }

  @Override
  protected void onSaveInstanceState(Bundle state) {
    super.onSaveInstanceState(state);
    state.putInt(TAB, tab);
    state.putBoolean(ASKED, asked);
    state.putBoolean(FOR_GOOD, deniedForGood);
  }

  @Override
  protected void onResume() {
    super.onResume();
    resumed = true;
    app.controller().setListener(listener);
    app.benchmark().setListener(listener);
    app.explorer().setListener(listener);
    app.setListener(listener);
    listenOrNot();
    refresh();
    handler.post(tick);
  }

  @Override
  protected void onPause() {
    resumed = false;
    app.controller().setListener(null);
    app.benchmark().setListener(null);
    app.explorer().setListener(null);
    app.setListener(null);
    handler.removeCallbacks(refresh);
    handler.removeCallbacks(tick);
    pages[tab].leave();
    listenOrNot();
    super.onPause();
  }

  private void select(int selected) {
    if (selected != tab) {
      pages[tab].leave();
    }
    tab = selected;
    for (int i = 0; i < TABS.length; i++) {
      findViewById(TABS[i]).setSelected(i == tab);
      pages[i].view.setVisibility(i == tab ? View.VISIBLE : View.GONE);
    }
    if (resumed) {
      listenOrNot();
      refresh();
    }
  }

  /** Starts or stops the microphone after a page has changed its mind about it. */
  void listensChanged() {
    listenOrNot();
    refresh();
  }

  /** Lets the user choose a file of export_tflite. */
  void chooseModel() {
    // Few file managers know the type of a .tflite file.
    Intent open =
        new Intent(Intent.ACTION_OPEN_DOCUMENT)
            .addCategory(Intent.CATEGORY_OPENABLE)
            .setType("*/*");
    try {
      startActivityForResult(open, OPEN_MODEL);
    } catch (ActivityNotFoundException error) {
      Toast.makeText(this, R.string.no_app, Toast.LENGTH_LONG).show();
    }
  }

  private boolean permitted() {
    return checkSelfPermission(Manifest.permission.RECORD_AUDIO)
        == PackageManager.PERMISSION_GRANTED;
  }

  /** Starts or stops the microphone, depending on the page and the permission. */
  private void listenOrNot() {
    Controller controller = app.controller();
    if (!resumed || !pages[tab].listens() || app.model() == null || !permitted()) {
      controller.stop();
    } else if (controller.state() == Controller.State.STOPPED && !app.benchmark().isRunning()) {
      controller.start();
    }
    if (resumed && pages[tab].listens() && !permitted() && !asked) {
      ask();
    }
  }

  private void ask() {
    asked = true;
    requestPermissions(new String[] {Manifest.permission.RECORD_AUDIO}, PERMISSION);
  }

  @Override
  public void onRequestPermissionsResult(int request, String[] permissions, int[] results) {
    if (request != PERMISSION || results.length == 0) {
      return; // an empty result: the request was interrupted
    }
    deniedForGood =
        results[0] != PackageManager.PERMISSION_GRANTED
            && !shouldShowRequestPermissionRationale(Manifest.permission.RECORD_AUDIO);
    if (resumed) {
      listenOrNot();
      refresh();
    }
  }

  private void refresh() {
    if (app.controller().state() == Controller.State.STOPPED) {
      listenOrNot(); // the benchmark ended, or the model changed
    }
    showNotice();
    pages[tab].refresh();
    boolean awake = app.controller().state() == Controller.State.LISTENING;
    findViewById(R.id.pages).setKeepScreenOn(awake || app.benchmark().isRunning());
  }

  private void showNotice() {
    boolean needed = pages[tab].listens();
    if (needed && app.model() == null) {
      notice(
          getString(R.string.notice_model, app.failure()),
          R.string.notice_model_button,
          new View.OnClickListener() {
            @Override
            public void onClick(View clicked) {
              select(MODEL);
            }
          });
    } else if (needed && !permitted() && deniedForGood) {
      notice(
          getString(R.string.notice_for_good),
          R.string.notice_for_good_button,
          new View.OnClickListener() {
            @Override
            public void onClick(View clicked) {
              Uri self = Uri.fromParts("package", getPackageName(), null);
              startActivity(new Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, self));
            }
          });
    } else if (needed && !permitted()) {
      notice(
          getString(R.string.notice_permission),
          R.string.notice_permission_button,
          new View.OnClickListener() {
            @Override
            public void onClick(View clicked) {
              ask();
            }
          });
    } else if (needed && app.controller().state() == Controller.State.INTERRUPTED) {
      notice(
          getString(R.string.notice_interrupted),
          R.string.notice_interrupted_button,
          new View.OnClickListener() {
            @Override
            public void onClick(View clicked) {
              app.controller().start();
              refresh();
            }
          });
    } else {
      notice.setVisibility(View.GONE);
    }
  }

  private void notice(String text, int button, View.OnClickListener action) {
    if (!text.contentEquals(noticeText.getText())) {
      noticeText.setText(text);
    }
    noticeButton.setText(button);
    noticeButton.setOnClickListener(action);
    notice.setVisibility(View.VISIBLE);
  }

  @Override
  protected void onActivityResult(int request, int result, Intent data) {
    if (result != RESULT_OK || data == null || data.getData() == null) {
      return;
    }
    if (request == OPEN_MODEL) {
      app.openModel(data.getData());
    } else if (request == EXPORT) {
      ((TeachPage) pages[TEACH]).export(data.getData());
    }
  }
}
