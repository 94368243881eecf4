// Measures stubs/java/Modelport.java inside one process: java Bench ROWS ARTIFACT
// Commands on standard input, one answer per line: ready | load | one SECONDS | batch SECONDS | answers FILE (see ../worker.py).

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

public final class Bench {
    private static final int SINGLES = 64;

    private final String artifact;
    private final List<Map<String, Object>> batch = new ArrayList<>();
    private final List<Map<String, Object>> singles = new ArrayList<>();
    private Modelport.Model model;

    private Bench(String rows, String artifact) throws Exception {
        this.artifact = artifact;
        Map<String, Object> all = readRows(rows);
        batch.add(all);
        for (int i = 0; i < SINGLES; i++) {
            Map<String, Object> one = new LinkedHashMap<>();
            for (Map.Entry<String, Object> input : all.entrySet()) {
                Object data = input.getValue();
                one.put(input.getKey(), data instanceof String[] ? new String[] {((String[]) data)[i]} : new double[][] {((double[][]) data)[i]});
            }
            singles.add(one);
        }
    }

    /** The inputs of a rows file: per input a line "name kind width rows", then one element per line. */
    private static Map<String, Object> readRows(String path) throws Exception {
        Map<String, Object> inputs = new LinkedHashMap<>();
        try (BufferedReader in = Files.newBufferedReader(Paths.get(path), StandardCharsets.UTF_8)) {
            for (String head = in.readLine(); head != null; head = in.readLine()) {
                String[] words = head.split(" ");
                int width = Integer.parseInt(words[2]), rows = Integer.parseInt(words[3]);
                String[] texts = new String[rows];
                double[][] numbers = new double[rows][width];
                for (int k = 0; k < rows * width; k++) {
                    String cell = in.readLine();
                    if (words[1].equals("str")) texts[k] = cell;
                    else numbers[k / width][k % width] = Double.parseDouble(cell);
                }
                inputs.put(words[0], words[1].equals("str") ? texts : numbers);
            }
        }
        return inputs;
    }

    private String load() throws Exception {
        long started = System.nanoTime();
        model = Modelport.load(Files.readAllBytes(Paths.get(artifact)), ModelportFast.OPS, ModelportMore.OPS);
        return Double.toString((System.nanoTime() - started) / 1e9);
    }

    /** Seconds per call, going round the feeds for at least so many seconds. */
    private String repeated(List<Map<String, Object>> feeds, double least) {
        long started = System.nanoTime();
        for (int done = 1; ; done++) {
            model.predict(feeds.get((done - 1) % feeds.size()));
            double spent = (System.nanoTime() - started) / 1e9;
            if (spent >= least) return Double.toString(spent / done);
        }
    }

    private String answers(String path) throws Exception {
        Map<String, Modelport.Tensor> answer = model.predict(batch.get(0));
        try (PrintWriter out = new PrintWriter(path, "UTF-8")) {
            for (long label : answer.get("label").longs()) out.println(label);
            for (double p : answer.get("probability").doubles()) out.println(p);
        }
        return "null";
    }

    private String reply(String[] words) throws Exception {
        switch (words[0]) {
            case "ready": return "null";
            case "load": return load();
            case "one": return repeated(singles, Double.parseDouble(words[1]));
            case "batch": return repeated(batch, Double.parseDouble(words[1]));
            default: return answers(words[1]);
        }
    }

    public static void main(String[] args) throws Exception {
        Bench bench = new Bench(args[0], args[1]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String reply;
            try {
                reply = bench.reply(line.split(" "));
            } catch (Modelport.ModelportException e) {
                reply = "{\"error\": \"" + e.getMessage().replace("\\", "").replace("\"", "'") + "\"}";
            }
            System.out.println(reply);
        }
    }
}
