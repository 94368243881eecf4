// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Types of modelport_nn.js: `import nn from "./modelport_nn.js"` (esModuleInterop), `require`, or the global `modelportNn` of a <script>.

import modelport = require("./modelport.js");

export = nn;
export as namespace modelportNn;

/** The ops of profile nn, for `modelport.load(bytes, { ops: nn })` or, with those of modelport_more.js, `{ ops: { ...more, ...nn } }`. */
declare const nn: modelport.Ops;
