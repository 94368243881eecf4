// Measures the C# stub (stubs/csharp) inside one process: dotnet modelport.dll ROWS ARTIFACT
// Commands on standard input, one answer per line: ready | load | one SECONDS | batch SECONDS | answers FILE (see ../worker.py).

using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using Modelport;

public static class Bench {
    private const int SINGLES = 64;

    private static string artifact;
    private static readonly List<Dictionary<string, object>> batch = new List<Dictionary<string, object>>(), singles = new List<Dictionary<string, object>>();
    private static Model model;

    /// <summary>The inputs of a rows file: per input a line "name kind width rows", then one element per line.</summary>
    private static Dictionary<string, object> ReadRows(string path) {
        var inputs = new Dictionary<string, object>();
        using (var lines = new StreamReader(path)) {
            for (string head = lines.ReadLine(); head != null; head = lines.ReadLine()) {
                string[] words = head.Split(' ');
                int width = int.Parse(words[2], CultureInfo.InvariantCulture), rows = int.Parse(words[3], CultureInfo.InvariantCulture);
                var texts = new string[rows];
                var numbers = new double[rows][];
                for (int k = 0; k < rows * width; k++) {
                    string cell = lines.ReadLine();
                    if (k % width == 0) numbers[k / width] = new double[width];
                    if (words[1] == "str") texts[k] = cell;
                    else numbers[k / width][k % width] = double.Parse(cell, CultureInfo.InvariantCulture);
                }
                inputs[words[0]] = words[1] == "str" ? (object) texts : numbers;
            }
        }
        return inputs;
    }

    private static string Seconds(double seconds) { return seconds.ToString("R", CultureInfo.InvariantCulture); }

    private static double Since(long started) { return (Stopwatch.GetTimestamp() - started) / (double) Stopwatch.Frequency; }

    private static string Load() {
        long started = Stopwatch.GetTimestamp();
        model = Model.Load(File.ReadAllBytes(artifact), ModelportMore.Ops);
        return Seconds(Since(started));
    }

    /// <summary>Seconds per call, going round the feeds for at least so many seconds.</summary>
    private static string Repeated(List<Dictionary<string, object>> feeds, double least) {
        long started = Stopwatch.GetTimestamp();
        for (int done = 1; ; done++) {
            model.Predict(feeds[(done - 1) % feeds.Count]);
            double spent = Since(started);
            if (spent >= least) return Seconds(spent / done);
        }
    }

    private static string Answers(string path) {
        Dictionary<string, Tensor> answer = model.Predict(batch[0]);
        using (var to = new StreamWriter(path)) {
            foreach (long label in answer["label"].Longs()) to.WriteLine(label.ToString(CultureInfo.InvariantCulture));
            foreach (double p in answer["probability"].Doubles()) to.WriteLine(p.ToString("G17", CultureInfo.InvariantCulture));
        }
        return "null";
    }

    private static string Reply(string[] words) {
        switch (words[0]) {
            case "ready": return "null";
            case "load": return Load();
            case "one": return Repeated(singles, double.Parse(words[1], CultureInfo.InvariantCulture));
            case "batch": return Repeated(batch, double.Parse(words[1], CultureInfo.InvariantCulture));
            default: return Answers(words[1]);
        }
    }

    public static void Main(string[] args) {
        artifact = args[1];
        Dictionary<string, object> all = ReadRows(args[0]);
        batch.Add(all);
        for (int i = 0; i < SINGLES; i++) {
            var one = new Dictionary<string, object>();
            foreach (KeyValuePair<string, object> input in all)
                one[input.Key] = input.Value is string[] ? (object) new[] {((string[]) input.Value)[i]} : new[] {((double[][]) input.Value)[i]};
            singles.Add(one);
        }
        for (string line = Console.In.ReadLine(); line != null; line = Console.In.ReadLine()) {
            string reply;
            try {
                reply = Reply(line.Split(' '));
            } catch (ModelportException e) {
                reply = "{\"error\": \"" + e.Message.Replace("\\", "").Replace("\"", "'") + "\"}";
            }
            Console.Out.WriteLine(reply);
            Console.Out.Flush();
        }
    }
}
