package androidx.test.runner.intent;

/** Stands in for the class of this name, which is on Google's Maven repository only. */
public final class IntentStubberRegistry {
  private IntentStubberRegistry() {}

  public static boolean isLoaded() {
    return false;
  }

  public static IntentStubber getInstance() {
    throw new IllegalStateException("no intents are stubbed");
  }
}
