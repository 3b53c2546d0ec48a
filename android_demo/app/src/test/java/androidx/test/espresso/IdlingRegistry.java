package androidx.test.espresso;

/** Stands in for the class of this name, which is on Google's Maven repository only. */
public final class IdlingRegistry {
  private IdlingRegistry() {}
}
