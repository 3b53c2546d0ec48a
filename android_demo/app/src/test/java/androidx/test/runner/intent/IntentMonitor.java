package androidx.test.runner.intent;

/** Stands in for the class of this name, which is on Google's Maven repository only. */
public interface IntentMonitor {}
