// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Types of modelport_more.js: `import more from "./modelport_more.js"` (esModuleInterop), `require`, or the global `modelportMore` of a
// <script>.

import modelport = require("./modelport.js");

export = more;
export as namespace modelportMore;

/** The ops of the profiles kernel, text and solver, and poly, interp and gaussian_ll, for `modelport.load(bytes, { ops: more })`. */
declare const more: modelport.Ops;
