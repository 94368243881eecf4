package android.content.res;

/** A stand-in for Android's class, with what docs/how-to/android.md calls: it is compiled, never run. */
public final class AssetManager {
    public java.io.InputStream open(String name) throws java.io.IOException { return null; }
}
