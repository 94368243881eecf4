// SPDX-License-Identifier: Apache-2.0
//
// Answers many commands of the stub protocol in one process (tests/many.py). A line is a command: its standard input, then its
// arguments, each in base64 behind a dot, between spaces; the answer is its exit code, standard output and standard error.

using System;
using System.IO;
using System.Text;

internal static class Many {
    private static int Main() {
        var lines = new StreamReader(Console.OpenStandardInput(), Encoding.ASCII, false, 1 << 16);
        var answers = new StreamWriter(Console.OpenStandardOutput(), new ASCIIEncoding(), 1 << 16);
        for (string line = lines.ReadLine(); line != null; line = lines.ReadLine()) {
            string[] words = line.Split(' ');
            var arguments = new string[words.Length - 1];
            for (int i = 0; i < arguments.Length; i++) arguments[i] = Encoding.UTF8.GetString(Bytes(words[i + 1]));
            MemoryStream output = new MemoryStream(), errors = new MemoryStream();
            int code = Program.Run(arguments, new MemoryStream(Bytes(words[0])), output, errors);
            answers.Write(code + " " + Word(output) + " " + Word(errors) + "\n");
            answers.Flush();
        }
        return 0;
    }

    private static byte[] Bytes(string word) { return Convert.FromBase64String(word.Substring(1)); }

    private static string Word(MemoryStream bytes) { return "." + Convert.ToBase64String(bytes.ToArray()); }
}
