package androidx.test.platform.ui;

/** Stands in for the class of this name, which is on Google's Maven repository only. */
public interface UiController {}
