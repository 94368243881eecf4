// SPDX-License-Identifier: Apache-2.0
//
// Answers many commands of the stub protocol in one process (tests/many.py). A line is a command: its standard input, then its
// arguments, each in base64 behind a dot, between spaces; the answer is its exit code, standard output and standard error.

import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

public final class Many {
    private Many() { }

    public static void main(String[] given) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            String[] arguments = new String[words.length - 1];
            for (int i = 0; i < arguments.length; i++) {
                arguments[i] = new String(bytes(words[i + 1]), StandardCharsets.UTF_8);
            }
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            int code = Main.run(arguments, new ByteArrayInputStream(bytes(words[0])), out, err);
            System.out.println(code + " " + word(out.toByteArray()) + " " + word(err.toByteArray()));
        }
    }

    private static byte[] bytes(String word) {
        return Base64.getDecoder().decode(word.substring(1));
    }

    private static String word(byte[] bytes) {
        return "." + Base64.getEncoder().encodeToString(bytes);
    }
}
