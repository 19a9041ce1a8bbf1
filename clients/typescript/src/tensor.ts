/**
 * Tensors: typed arrays with a shape, and their raw little-endian form on the wire.
 * Pure. Element types are named as in the Open Inference Protocol.
 */
import { endianness } from "node:os";

/** The arrays that carry a tensor's elements. */
export type TypedArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

type ArrayType = {
  new (length: number): TypedArray;
  readonly BYTES_PER_ELEMENT: number;
};

const ARRAYS: Readonly<Record<string, ArrayType>> = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP32: Float32Array,
  FP64: Float64Array,
};

const DTYPES: Readonly<Record<string, string>> = {
  Int8Array: "INT8",
  Uint8Array: "UINT8",
  Uint8ClampedArray: "UINT8",
  Int16Array: "INT16",
  Uint16Array: "UINT16",
  Int32Array: "INT32",
  Uint32Array: "UINT32",
  Float32Array: "FP32",
  Float64Array: "FP64",
  BigInt64Array: "INT64",
  BigUint64Array: "UINT64",
};

/** What a typed array may carry beside its own element type. */
const STANDS_FOR: Readonly<Record<string, readonly string[]>> = { BOOL: ["UINT8"], FP16: ["FP32", "UINT16"] };

/** A dense array in row-major order. Results have `FP16` elements widened to a Float32Array. */
export class Tensor {
  /** The elements. */
  readonly data: TypedArray;
  /** Length of each dimension; empty for a scalar. */
  readonly shape: readonly number[];
  /** Element type, such as "FP32". */
  readonly dtype: string;

  constructor(data: TypedArray, shape: readonly number[], dtype: string) {
    this.data = data;
    this.shape = shape;
    this.dtype = dtype;
  }

  /** Return the elements as they travel: raw, little-endian, of the element type. Only FP16 is a copy. */
  bytes(): Uint8Array {
    requireLittleEndian();
    const { data } = this;
    return byteView(this.dtype === "FP16" && data instanceof Float32Array ? narrow(data) : data);
  }
}

/**
 * Return a tensor to send: `tensor(new Float32Array(6), [2, 3])`. Without a shape it has one dimension.
 * `dtype` is only needed for "BOOL" (a Uint8Array of 0 and 1) and "FP16" (a Float32Array, or its bits as a Uint16Array).
 * Throws RangeError where the shape does not fit.
 */
export function tensor(data: TypedArray, shape: readonly number[] = [data.length], dtype?: string): Tensor {
  const own = dtypeOf(data);
  const wanted = dtype ?? own;
  if (wanted !== own && !STANDS_FOR[wanted]?.includes(own)) {
    throw new RangeError(`expected a typed array for ${wanted}, got ${data.constructor.name}`);
  }
  if (elements(shape) !== data.length) {
    throw new RangeError(`shape [${shape.join(", ")}] has ${elements(shape)} elements, the data has ${data.length}`);
  }
  return new Tensor(data, [...shape], wanted);
}

/** Return the element type that a typed array has on the wire. */
export function dtypeOf(data: TypedArray): string {
  const dtype = DTYPES[data[Symbol.toStringTag]];
  if (dtype === undefined) throw new TypeError(`expected a typed array of integers or floats, got ${data[Symbol.toStringTag]}`);
  return dtype;
}

function byteView(data: TypedArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Make a tensor from the wire. Throws RangeError where type, shape and bytes do not fit together. */
export function readTensor(dtype: string, shape: readonly number[], bytes: Uint8Array): Tensor {
  requireLittleEndian();
  const half = dtype === "FP16";
  const type = half ? Uint16Array : ARRAYS[dtype];
  if (type === undefined) throw new RangeError(`unknown element type ${dtype}`);
  const expected = elements(shape) * type.BYTES_PER_ELEMENT;
  if (expected !== bytes.length) {
    throw new RangeError(`${dtype} of shape [${shape.join(", ")}] needs ${expected} bytes, got ${bytes.length}`);
  }
  // Copied, because the bytes inside a message need not be aligned for the array's type.
  const data = new type(elements(shape));
  new Uint8Array(data.buffer).set(bytes);
  return new Tensor(half ? widen(data as Uint16Array) : data, shape, dtype);
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

/** Return IEEE 754 half-precision bits as single-precision numbers. */
function widen(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) return sign * 2 ** -24 * fraction;
    if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return sign * 2 ** (exponent - 25) * (1024 + fraction);
  });
}

/** Return single-precision numbers as IEEE 754 half-precision bits, rounded to the nearest, ties to even. */
function narrow(numbers: Float32Array): Uint16Array {
  return Uint16Array.from(numbers, (number) => {
    const sign = number < 0 || Object.is(number, -0) ? 0x8000 : 0;
    const size = Math.abs(number);
    if (Number.isNaN(number)) return 0x7e00;
    if (size < 2 ** -14) return sign | roundToEven(size * 2 ** 24);
    if (size >= 65520) return sign | 0x7c00;
    const exponent = Math.floor(Math.log2(size));
    // A fraction that rounds up to 1024 carries into the exponent, as it should.
    return sign | (((exponent + 15) << 10) + roundToEven((size / 2 ** exponent - 1) * 1024));
  });
}

function roundToEven(number: number): number {
  const down = Math.floor(number);
  const rest = number - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
}

function requireLittleEndian(): void {
  if (endianness() !== "LE") throw new Error("tensors need a little-endian machine; send lists instead");
}
