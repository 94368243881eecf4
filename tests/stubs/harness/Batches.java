// Predicts batches in every way that has to give the same bits: java Batches FOLDER COUNT, with the files 0.json, 0.rows.json, 1.json, ...

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public final class Batches {
    private Batches() { }

    /** The elements of all outputs, or the sentence of a refusal. */
    private static String answer(Modelport.Model model, byte[] rows) {
        try {
            StringBuilder text = new StringBuilder();
            for (Modelport.Tensor t : model.predictJson(rows).values()) text.append(Arrays.toString(t.shape())).append(Arrays.toString(t.doubles()));
            return text.toString();
        } catch (Modelport.Refused e) {
            return e.getMessage();
        }
    }

    private static String one(byte[] document, final byte[] rows, ExecutorService pool) throws Exception {
        Modelport.Ops[] plain = {ModelportMore.OPS, ModelportNn.OPS}, fast = {ModelportFast.OPS, ModelportMore.OPS, ModelportNn.OPS};
        String slow = answer(Modelport.load(document, false, new Modelport.Limits(), plain), rows);
        final Modelport.Model model = Modelport.load(document, false, new Modelport.Limits(), fast), many = model.threads(3);
        List<Future<String>> found = new ArrayList<>();
        for (int k = 0; k < 4; k++) {
            final Modelport.Model asked = k % 2 == 0 ? model : many;
            found.add(pool.submit(new Callable<String>() {
                @Override
                public String call() {
                    return answer(asked, rows);
                }
            }));
        }
        for (Future<String> other : found) {
            if (!other.get().equals(slow)) return "DIFFERENT";
        }
        return slow.length() > 200 ? slow.substring(0, 200) : slow;
    }

    private static String streamed(byte[] document) throws IOException {
        Modelport.Model model = Modelport.load(new ByteArrayInputStream(document), ModelportFast.OPS);
        Map<String, Modelport.Tensor> row = model.predict(new double[] {0.5, 0.5, 0.5});
        return Arrays.toString(row.get("y").doubles());
    }

    public static void main(String[] args) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        for (int k = 0; k < Integer.parseInt(args[1]); k++) {
            byte[] document = Files.readAllBytes(Paths.get(args[0], k + ".json"));
            System.out.println(one(document, Files.readAllBytes(Paths.get(args[0], k + ".rows.json")), pool));
        }
        pool.shutdown();
        System.out.println(streamed(Files.readAllBytes(Paths.get(args[0], "proved.json"))));
    }
}
