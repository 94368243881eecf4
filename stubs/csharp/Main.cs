// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// The command line of stubs/README.md around Modelport.cs.

using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using Modelport;

internal static class Program {
    private static readonly OpTable[] MORE = {ModelportMore.Ops, ModelportNn.Ops};
    private const int DONE = 0, MISMATCH = 1, REFUSED = 2, USAGE = 64;
    private const string HELP = "usage: predict ARTIFACT [--no-verify] < inputs.json > outputs.json | verify ARTIFACT [VECTORS] | info ARTIFACT | ops";

    private static int Main(string[] args) {
        return Run(args, Console.OpenStandardInput(), Console.OpenStandardOutput(), Console.OpenStandardError());
    }

    /// <summary>Runs one command and returns its exit code.</summary>
    internal static int Run(string[] args, Stream given, Stream output, Stream errors) {
        var answer = new StreamWriter(output, new UTF8Encoding(false), 1 << 16);
        string sentence;
        int code;
        try {
            code = Command(args, given, answer);
            answer.Flush();
            sentence = code == MISMATCH ? "The numbers do not match the vectors." : code == USAGE ? HELP : null;
        } catch (ModelportException e) {
            sentence = e.Message;
            code = e.ExitCode;
        } catch (Exception e) when (e is IOException || e is UnauthorizedAccessException || e is ArgumentException) {
            sentence = "Reading or writing failed: " + e.Message;
            code = REFUSED;
        } catch (OutOfMemoryException) {
            sentence = "The memory of this program is too small for the artifact or the rows.";
            code = REFUSED;
        } catch (Exception e) { // none is known
            sentence = "This program has a fault, and gives no answer: " + e.GetType().Name + ": " + e.Message;
            code = REFUSED;
        }
        if (sentence != null) {
            byte[] line = Encoding.UTF8.GetBytes(sentence.Replace("\r", " ").Replace("\n", " ") + "\n");
            errors.Write(line, 0, line.Length);
            errors.Flush();
        }
        return code;
    }

    private static int Command(string[] args, Stream given, TextWriter to) {
        var rest = new List<string>(args);
        bool verified = !rest.Remove("--no-verify");
        string command = rest.Count == 0 ? "" : rest[0];
        int files = rest.Count - 1;
        bool good = command == "ops" ? files == 0 && verified
            : command == "predict" ? files == 1
            : command == "info" ? files == 1 && verified
            : command == "verify" && (files == 1 || files == 2) && verified;
        if (!good) return USAGE;
        switch (command) {
            case "ops": return Ops(to);
            case "info": return Info(rest[1], to);
            case "verify": return Verify(rest[1], files == 2 ? rest[2] : null, to);
            default: return Predict(rest[1], verified, given, to);
        }
    }

    private static int Ops(TextWriter to) {
        foreach (string op in Model.Ops(MORE)) to.Write(op + "\n");
        return DONE;
    }

    private static int Info(string artifact, TextWriter to) {
        to.Write(Unverified(artifact).Info() + "\n");
        return DONE;
    }

    private static int Verify(string artifact, string vectors, TextWriter to) {
        Model model = Unverified(artifact);
        int code = DONE;
        foreach (Check check in vectors == null ? model.Verify() : model.Verify(Read(vectors))) {
            to.Write(check.Sentence + "\n");
            code = check.Passed ? code : MISMATCH;
        }
        return code;
    }

    private static int Predict(string artifact, bool verified, Stream given, TextWriter to) {
        Model model = verified ? Model.Load(Read(artifact), MORE) : Unverified(artifact);
        Model.WriteOutputs(model.PredictJson(Read(given, "The request")), to);
        to.Write("\n");
        return DONE;
    }

    private static Model Unverified(string artifact) { return Model.Load(Read(artifact), false, new Limits(), MORE); }

    private static byte[] Read(string path) {
        using (Stream file = File.OpenRead(path)) return Read(file, path);
    }

    /// <summary>All bytes of a stream, which may be endless: gives up beyond the size of a document.</summary>
    private static byte[] Read(Stream stream, string what) {
        long most = new Limits().DocumentBytes;
        var bytes = new MemoryStream(stream.CanSeek ? (int) Math.Min(stream.Length, most + 1) : 0);
        var part = new byte[1 << 16];
        for (int n; (n = stream.Read(part, 0, part.Length)) > 0; ) {
            bytes.Write(part, 0, n);
            if (bytes.Length > most) throw new IOException(what + " has more than " + most + " bytes.");
        }
        return bytes.Length == bytes.Capacity ? bytes.GetBuffer() : bytes.ToArray();
    }
}
