package org.a2vtf.app;

import android.view.View;

/** One of the screens of {@link MainActivity}. */
abstract class Page {
  protected final MainActivity activity;
  protected final DemoApp app;
  final View view;

  Page(MainActivity activity, int view) {
    this.activity = activity;
    app = (DemoApp) activity.getApplication();
    this.view = activity.findViewById(view);
  }

  /** Called when the state, the model, the taught sounds or the benchmark change. */
  abstract void refresh();

  /** Called many times a second while this page is visible and the app listens. */
  void tick() {}

  /** Called when another page is selected, or the app is not in front any more. */
  void leave() {}

  /** Whether the page needs the microphone. */
  boolean listens() {
    return false;
  }

  protected final String text(int id, Object... arguments) {
    return activity.getString(id, arguments);
  }
}
