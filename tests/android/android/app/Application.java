package android.app;

/** A stand-in for Android's class, with what docs/how-to/android.md calls: it is compiled, never run. */
public class Application {
    public android.content.res.AssetManager getAssets() { return null; }
}
