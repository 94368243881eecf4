// Loads documents under a limit `work`: java Work < LINES. A line is the limit, whether to replay (1 or 0), and the document, between spaces;
// the answer is "accepted", or the sentence of the refusal.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

public final class Work {
    private Work() { }

    private static String answer(long work, boolean replay, String document) {
        Modelport.Limits limits = new Modelport.Limits();
        limits.work = work;
        try {
            Modelport.load(document.getBytes(StandardCharsets.UTF_8), replay, limits, ModelportFast.OPS, ModelportMore.OPS, ModelportNn.OPS);
        } catch (Modelport.Refused e) {
            return e.getMessage();
        }
        return "accepted";
    }

    public static void main(String[] args) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, "UTF-8");
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] parts = line.split(" ", 3);
            out.println(answer(Long.parseLong(parts[0]), parts[1].equals("1"), parts[2]));
        }
        out.flush();
    }
}
