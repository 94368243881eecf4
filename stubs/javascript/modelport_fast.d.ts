// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Types of modelport_fast.js: `import fast from "./modelport_fast.js"` (esModuleInterop), `require`, or the global `modelportFast` of a <script>.

export = fast;
export as namespace modelportFast;

/** Loading the file is all it takes: from then on modelport.js computes large batches, and trees for a few rows, with these kernels, to the same bits. */
declare const fast: {
  /** Whether this engine has WebAssembly with 128-bit vectors; without it modelport.js does the work by itself. */
  readonly active: boolean;
};
