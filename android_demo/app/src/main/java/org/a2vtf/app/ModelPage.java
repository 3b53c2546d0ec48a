package org.a2vtf.app;

import android.content.pm.PackageManager;
import android.view.View;
import android.widget.TextView;

/** Shows the model in use, and opens another one. */
final class ModelPage extends Page {
  private final TextView name;
  private final TextView description;
  private final TextView id;
  private final TextView message;
  private final View useBundled;

  ModelPage(MainActivity activity) {
    super(activity, R.id.page_model);
    name = view.findViewById(R.id.model_name);
    description = view.findViewById(R.id.model_description);
    id = view.findViewById(R.id.model_id);
    message = view.findViewById(R.id.model_message);
    useBundled = view.findViewById(R.id.model_use_bundled);
    ((TextView) view.findViewById(R.id.about_version))
        .setText(text(R.string.about_version, version()));
    view.findViewById(R.id.model_open)
        .setOnClickListener(
            new View.OnClickListener() {
              @Override
              public void onClick(View clicked) {
                activity.chooseModel();
              }
            });
    useBundled.setOnClickListener(
        new View.OnClickListener() {
          @Override
          public void onClick(View clicked) {
            app.openBundledModel();
          }
        });
  }

  @Override
  void refresh() {
    ModelLibrary.Model model = app.model();
    if (model == null) {
      name.setText(R.string.model_none);
      description.setText(app.failure());
      id.setText("");
    } else {
      name.setText(model.name);
      description.setText(model.description);
      id.setText(text(R.string.model_id, model.id, Math.round(model.content.length / 1e3)));
    }
    useBundled.setVisibility(
        model != null && !model.bundled ? View.VISIBLE : View.GONE);
    String said = app.modelMessage();
    message.setVisibility(said == null ? View.GONE : View.VISIBLE);
    message.setText(said);
  }

  private String version() {
    try {
      return activity
          .getPackageManager()
          .getPackageInfo(activity.getPackageName(), 0)
          .versionName;
    } catch (PackageManager.NameNotFoundException error) {
      return "";
    }
  }
}
