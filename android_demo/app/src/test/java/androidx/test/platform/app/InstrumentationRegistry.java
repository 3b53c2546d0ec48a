package androidx.test.platform.app;

import android.app.Instrumentation;
import android.os.Bundle;

/** Stands in for the class of this name, which is on Google's Maven repository only. */
public final class InstrumentationRegistry {
  private static Instrumentation instrumentation;

  private InstrumentationRegistry() {}

  public static void registerInstance(Instrumentation instance, Bundle arguments) {
    instrumentation = instance;
  }

  public static Instrumentation getInstrumentation() {
    return instrumentation;
  }
}
