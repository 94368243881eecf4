// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Types of modelport.js: `import modelport from "./modelport.js"` (esModuleInterop), `require`, or the global `modelport` of a <script>.

export = modelport;
export as namespace modelport;

declare namespace modelport {
  type DType = "f64" | "f32" | "i64" | "i32" | "i16" | "i8" | "u32" | "u16" | "u8" | "bool" | "str";
  type Role = "prediction" | "probability" | "score" | "transform" | "cluster" | "anomaly";

  /** Limits of docs/format.md, section 5; `jsonValues` bounds the strings, keys and scalars (1 each) and containers (4 each) of a text. */
  interface Limits {
    bytes: number;
    depth: number;
    steps: number;
    rank: number;
    tensorElements: number;
    rowElements: number;
    totalRowElements: number;
    carriedRows: number;
    multiplications: number;
    /** Operations that replaying the carried rows may take, beside 4,096 for every byte of the artifact. */
    work: number;
    jsonValues: number;
  }

  interface LoadOptions {
    /** false leaves out the replay of the carried vectors; an artifact without vectors needs that. Default true. */
    verify?: boolean;
    limits?: Partial<Limits>;
    /** The table of modelport_more.js or modelport_nn.js, or one of both, for artifacts that require their ops. */
    ops?: Ops;
  }

  /** A further table of ops, by name. */
  interface Ops {
    readonly [op: string]: object;
  }

  /** shape: of one row; a name stands for a length that is known when rows come. */
  interface Input {
    name: string;
    dtype: "f64" | "f32" | "i64" | "bool" | "str";
    shape: Array<number | string>;
    missing: "error" | "nan" | "null";
    features?: string[];
  }

  /** shape: of one row; null is a length that changes with the named lengths of the inputs. */
  interface Output {
    name: string;
    dtype: DType;
    shape: Array<number | null>;
    role: Role;
    classes?: string[] | number[] | boolean[];
  }

  interface Info {
    format: "modelport";
    version: string;
    inputs: Input[];
    /** An example of every named length; absent where there are none. */
    lengths?: { [name: string]: number };
    outputs: Output[];
    ops: string[];
    carriedRows: number;
  }

  type TypedArray =
    | Float64Array | Float32Array | BigInt64Array | Int32Array | Int16Array | Int8Array | Uint32Array | Uint16Array | Uint8Array | Uint8ClampedArray | BigUint64Array;
  type Scalar = number | bigint | boolean | string | null;
  type List = TypedArray | ReadonlyArray<Scalar>;
  /** Lists in lists, one depth per axis. */
  type Nested = List | ReadonlyArray<Nested>;

  /** The values of one input: a flat list, a list of rows, or row-major data with its shape (batch axis first). */
  type Values = Nested | { shape: ReadonlyArray<number>; data: List };

  /**
   * Named columns (an input, or a feature of a matrix, per key), records (one object per row), the rows of the only input, or what readRows
   * returned. Booleans count as 1 and 0 where floats are expected; a missing value is NaN (floats) or null (strings).
   */
  type RowsLike = { readonly [name: string]: Values } | ReadonlyArray<{ readonly [name: string]: Scalar | Nested }> | Nested | Rows;

  /** Checked rows of one model. */
  interface Rows {
    readonly count: number;
  }

  type NestedArray = Scalar[] | NestedArray[];

  class Tensor {
    readonly dtype: DType;
    /** Batch axis first. */
    readonly shape: ReadonlyArray<number>;
    /**
     * Row-major. i64: a Float64Array of safe integers, or a BigInt64Array when one lies beyond 2^53 - 1; bool: a Uint8Array of 0 and 1; str: an
     * array of strings and nulls.
     */
    readonly data: TypedArray | Array<string | null>;
    private constructor();
    /** Nested arrays, one depth per axis; bool as true and false. */
    toArray(): NestedArray;
  }

  interface OutputReport {
    name: string;
    ok: boolean;
    rows: number;
    message: string;
  }

  interface Report {
    ok: boolean;
    rows: number;
    outputs: OutputReport[];
    /** The first mismatch, or "". */
    message: string;
  }

  class Model {
    private constructor();
    inputs(): Input[];
    outputs(): Output[];
    info(): Info;
    /** Throws Refused when the rows are not acceptable. */
    predict(rows: RowsLike): { [output: string]: Tensor };
    /** Rows from the JSON `{"inputs": {name: tensor}}`. */
    readRows(source: string | ArrayBuffer | ArrayBufferView): Rows;
    /** Replays the carried vectors, or those of `source` (the JSON of a verification object). */
    verify(source?: string | ArrayBuffer | ArrayBufferView): Report;
  }

  abstract class ModelportError extends Error {
    /** As in the stub protocol: 1 mismatch, 2 refused, 3 unsupported. */
    readonly exitCode: 1 | 2 | 3;
  }
  /** The artifact, or the rows, are not acceptable. */
  class Refused extends ModelportError {}
  /** The numbers do not match the vectors. */
  class Mismatch extends ModelportError {}
  /** The artifact needs an op or a version this reader does not implement. */
  class Unsupported extends ModelportError {}

  const DEFAULT_LIMITS: Readonly<Limits>;

  /** A model from an artifact; throws Refused, Unsupported or Mismatch. */
  function load(source: string | ArrayBuffer | ArrayBufferView, options?: LoadOptions): Model;
  /** What gives an artifact in pieces: a Response, a Blob, a ReadableStream, a stream of Node, any iterable of bytes. */
  type Pieces =
    | { readonly body: unknown; readonly ok?: boolean; readonly status?: number }
    | { stream(): unknown }
    | { getReader(): unknown }
    | AsyncIterable<ArrayBuffer | ArrayBufferView>
    | Iterable<ArrayBuffer | ArrayBufferView>;

  /** A promise of the model of an artifact that comes in pieces; it is rejected with what load throws. */
  function loadFrom(source: string | ArrayBuffer | ArrayBufferView | Pieces, options?: LoadOptions): Promise<Model>;
  /** What predict returned as JSON text, in pieces: `[...encode(outputs)].join("")`. */
  function encode(outputs: { [output: string]: Tensor }): Generator<string>;
  /** The ops this reader implements, with those of a further table, sorted. */
  function ops(more?: Ops): string[];
}
