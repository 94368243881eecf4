// Answers many commands of the stub protocol in one process (tests/many.py). A line is a command: its standard input, then its
// arguments, each in base64 behind a dot, between spaces; the answer is its exit code, standard output and standard error.
// cli.mjs is a program, not a library: it runs again for every command, as a function of its text with a process of its own to
// write to. (A module that is imported again stays in memory for ever, and takes longer every time.)

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";

const cli = pathToFileURL(process.argv[2]).href, importing = (name) => import(name.startsWith("./") ? new URL(name, cli).href : name);
const text = readFileSync(process.argv[2], "utf8").replace(/^#!.*/, "").replace(/^import (.+) from (".+");$/gm, "const $1 = await import($2);");
const run = new (async () => {}).constructor("$import", text.replaceAll("import(", "$import("));
const bytes = (word) => Buffer.from(word.slice(1), "base64"), word = (chunks) => "." + Buffer.concat(chunks).toString("base64");
const answer = process.stdout.write.bind(process.stdout);
process.stdout.setMaxListeners(0);

const lines = createInterface({ input: process.stdin });
for await (const line of lines) {
  const [stdin, ...rest] = line.split(" ").map(bytes), out = [], err = [];
  const into = (chunks) => (chunk, encoding) => { chunks.push(Buffer.from(chunk, typeof encoding === "string" ? encoding : "utf8")); return true; };
  process.stdout.write = into(out);
  process.stderr.write = into(err);
  Object.defineProperty(process, "stdin", { value: Readable.from(stdin.length ? [stdin] : []), configurable: true });
  process.argv = [process.argv[0], process.argv[1], ...rest.map(String)];
  process.exitCode = undefined;
  try {
    await run(importing);
  } catch (error) {
    err.push(Buffer.from(`${error.stack}\n`));
    process.exitCode = 1;
  }
  process.stdout.removeAllListeners("error");
  answer(`${process.exitCode ?? 0} ${word(out)} ${word(err)}\n`);
  process.exitCode = 0;
}
