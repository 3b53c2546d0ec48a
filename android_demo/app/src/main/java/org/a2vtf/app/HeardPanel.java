package org.a2vtf.app;

import android.view.View;
import android.widget.TextView;

/** Says which taught sound is heard. */
final class HeardPanel {
  private final TextView label;
  private final TextView detail;

  HeardPanel(View page) {
    label = page.findViewById(R.id.heard);
    detail = page.findViewById(R.id.heard_detail);
  }

  void show(Controller controller) {
    Controller.Heard heard = controller.heard();
    if (controller.state() != Controller.State.LISTENING) {
      set(text(R.string.heard_off), "");
    } else if (heard != null && heard.unknown) {
      set(
          text(R.string.heard_unknown),
          text(R.string.heard_nearest, heard.label, heard.distance));
    } else if (heard != null) {
      set(heard.label, text(R.string.heard_distance, heard.distance));
    } else if (controller.hasTaught()) {
      set(text(R.string.heard_wait), "");
    } else {
      set(text(R.string.heard_nothing_taught), text(R.string.heard_nothing_taught_hint));
    }
  }

  private String text(int id, Object... arguments) {
    return label.getContext().getString(id, arguments);
  }

  /** Leaves a label alone that stays the same: each change is read aloud. */
  private void set(String labelText, String detailText) {
    if (!labelText.contentEquals(label.getText())) {
      label.setText(labelText);
    }
    if (!detailText.contentEquals(detail.getText())) {
      detail.setText(detailText);
    }
  }
}
