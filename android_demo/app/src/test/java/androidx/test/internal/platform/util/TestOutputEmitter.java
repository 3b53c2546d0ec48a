package androidx.test.internal.platform.util;

/** Stands in for the class of this name, which is on Google's Maven repository only. */
public final class TestOutputEmitter {
  private TestOutputEmitter() {}

  public static void dumpThreadStates(String file) {}
}
