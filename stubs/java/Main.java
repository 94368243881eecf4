// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// The command line of stubs/README.md around Modelport.java.

import java.io.BufferedWriter;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

public final class Main {
    private static final Modelport.Ops[] MORE = {ModelportFast.OPS, ModelportMore.OPS, ModelportNn.OPS};
    private static final int DONE = 0;
    private static final int MISMATCH = 1;
    private static final int REFUSED = 2;
    private static final int USAGE = 64;
    private static final String HELP =
        "usage: predict ARTIFACT [--no-verify] < inputs.json > outputs.json | verify ARTIFACT [VECTORS] | info ARTIFACT | ops";

    /** The command line is none of those in HELP. */
    private static final class Usage extends Exception {
        private static final long serialVersionUID = 1L;

        Usage() {
            super(HELP);
        }
    }

    private Main() { }

    public static void main(String[] args) throws IOException {
        int code = run(args, System.in, new FileOutputStream(FileDescriptor.out), new FileOutputStream(FileDescriptor.err));
        System.exit(code);
    }

    /** Runs one command and returns its exit code. */
    static int run(String[] args, InputStream in, OutputStream out, OutputStream err) throws IOException {
        Writer answer = new BufferedWriter(new OutputStreamWriter(out, StandardCharsets.UTF_8), 1 << 16);
        String sentence;
        int code;
        try {
            code = command(args, in, answer);
            answer.flush();
            sentence = code == MISMATCH ? "The numbers do not match the vectors." : null;
        } catch (Modelport.ModelportException e) {
            sentence = e.getMessage();
            code = e.exitCode;
        } catch (IOException e) {
            sentence = "Reading or writing failed: " + e.getMessage() + ".";
            code = REFUSED;
        } catch (OutOfMemoryError e) {
            sentence = "The heap of this program is too small for the artifact or the rows; raise it with -Xmx.";
            code = REFUSED;
        } catch (Usage e) {
            sentence = e.getMessage();
            code = USAGE;
        } catch (RuntimeException e) { // none is known
            sentence = "This program has a fault, and gives no answer: " + e + ".";
            code = REFUSED;
        }
        if (sentence != null) {
            err.write((sentence + "\n").getBytes(StandardCharsets.UTF_8));
            err.flush();
        }
        return code;
    }

    private static int command(String[] args, InputStream in, Writer out) throws IOException, Usage {
        List<String> rest = new ArrayList<>(Arrays.asList(args));
        boolean verified = !rest.remove("--no-verify");
        String command = rest.isEmpty() ? "" : rest.remove(0);
        boolean good = command.equals("ops") ? rest.isEmpty() && verified
            : command.equals("predict") ? rest.size() == 1
            : command.equals("info") ? rest.size() == 1 && verified
            : command.equals("verify") && (rest.size() == 1 || rest.size() == 2) && verified;
        if (!good) {
            throw new Usage();
        }
        switch (command) {
            case "ops": return ops(out);
            case "info": return info(rest.get(0), out);
            case "verify": return verify(rest.get(0), rest.size() == 2 ? rest.get(1) : null, out);
            default: return predict(rest.get(0), verified, in, out);
        }
    }

    private static int ops(Writer out) throws IOException {
        for (String op : Modelport.ops(MORE)) {
            out.write(op + "\n");
        }
        return DONE;
    }

    private static int info(String artifact, Writer out) throws IOException {
        out.write(unverified(artifact).info() + "\n");
        return DONE;
    }

    private static int verify(String artifact, String vectors, Writer out) throws IOException {
        Modelport.Model model = unverified(artifact);
        int code = DONE;
        for (Modelport.Check check : vectors == null ? model.verify() : model.verify(read(vectors))) {
            out.write(check.sentence + "\n");
            code = check.passed ? code : MISMATCH;
        }
        return code;
    }

    private static int predict(String artifact, boolean verified, InputStream in, Writer out) throws IOException {
        Modelport.Model model = verified ? Modelport.load(read(artifact), MORE) : unverified(artifact);
        Map<String, Modelport.Tensor> outputs = model.predictJson(read(in, 1 << 16, "The request"));
        Modelport.writeOutputs(outputs, out);
        out.write("\n");
        return DONE;
    }

    private static Modelport.Model unverified(String artifact) throws IOException {
        return Modelport.load(read(artifact), false, new Modelport.Limits(), MORE);
    }

    private static byte[] read(String path) throws IOException {
        try (InputStream file = new FileInputStream(path)) {
            return read(file, new File(path).length(), path);
        }
    }

    /** All bytes of a stream, which may be endless: gives up beyond the size of a document, and half of the memory to be used. */
    private static byte[] read(InputStream in, long expected, String what) throws IOException {
        Modelport.Limits limits = new Modelport.Limits();
        long most = Math.min(limits.documentBytes, limits.memory / 2);
        byte[] bytes = new byte[(int) Math.min(Math.max(expected, 1), most)];
        int n = 0;
        while (true) {
            boolean full = n == bytes.length;
            int k = full ? in.read() : in.read(bytes, n, bytes.length - n); // a full array: does one more byte follow?
            if (k < 0) {
                return full ? bytes : Arrays.copyOf(bytes, n);
            }
            if (n == most) {
                throw new IOException(what + " has more than " + most + " bytes");
            }
            if (full) {
                bytes = Arrays.copyOf(bytes, (int) Math.min(2L * n, most));
                bytes[n] = (byte) k;
            }
            n += full ? 1 : k;
        }
    }
}
