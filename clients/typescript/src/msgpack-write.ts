/**
 * Writing MessagePack, as far as the bridge takes it: null, booleans, integers of 64 bits, floats, text, bytes, arrays,
 * maps. It knows nothing about payloads; values that are neither plain nor bytes are handed to the caller's `substitute`.
 */
import { hasJsonForm } from "./json.js";

/** Return the plain value that stands for an object, or undefined for one that is to be written as it is. */
export type Substitute = (value: object) => object | undefined;

/** A value that MessagePack can not carry; `largeInteger` where an integer of more than 64 bits is the only trouble. */
export class Unsendable extends TypeError {
  constructor(
    message: string,
    readonly largeInteger = false,
  ) {
    super(message);
  }
}

/** The server takes no value that is nested deeper; one that contains itself is too. */
const MAX_DEPTH = 200;
/** The caller may put larger bytes aside, so that they are not copied into the value first. */
const INLINE_BYTES = 64 * 1024;
const FIRST_BYTES = 8192;
const KEPT_BYTES = 1024 * 1024;

/** The buffer of the last writer, for the next one; undefined while one writes. */
let spare: Buffer | undefined;

/**
 * Write a value as MessagePack. Integers of numbers and bigints are integers, other numbers 64-bit floats; objects with
 * `toJSON` (a Date) are written by that, properties that are undefined left out. Throws Unsendable.
 */
export function writeMsgpack(value: unknown, substitute: Substitute): Uint8Array {
  const writer = new Writer(spare ?? Buffer.allocUnsafe(FIRST_BYTES), substitute);
  spare = undefined;
  try {
    writer.write(value, 0);
    return writer.written();
  } finally {
    if (writer.buffer.length <= KEPT_BYTES) spare = writer.buffer;
  }
}

class Writer {
  buffer: Buffer;
  #at = 0;
  readonly #substitute: Substitute;

  constructor(buffer: Buffer, substitute: Substitute) {
    this.buffer = buffer;
    this.#substitute = substitute;
  }

  /** Return a copy of what was written. */
  written(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.buffer, 0, this.#at);
  }

  write(value: unknown, depth: number): void {
    switch (typeof value) {
      case "string":
        return this.#text(value);
      case "number":
        return this.#number(value);
      case "bigint":
        return this.#integer(value);
      case "boolean":
        return this.#byte(value ? 0xc3 : 0xc2);
      case "undefined":
        return this.#byte(0xc0);
      case "object":
        return value === null ? this.#byte(0xc0) : this.#object(value, depth + 1);
      default:
        throw new Unsendable(`a ${typeof value} can not be sent`);
    }
  }

  #object(value: object, depth: number): void {
    if (depth > MAX_DEPTH) throw new Unsendable(`the value is nested deeper than ${MAX_DEPTH} levels, or contains itself`);
    if (Array.isArray(value)) {
      this.#head(value.length, 0x90, 15, 0xdc);
      for (const item of value) this.write(item, depth);
      return;
    }
    if (value instanceof Uint8Array && value.length < INLINE_BYTES) return this.#bytes(value);
    const plain = this.#substitute(value) ?? value;
    if (plain instanceof Uint8Array) return this.#bytes(plain);
    if (hasJsonForm(plain)) return this.write(plain.toJSON(), depth);
    if (plain instanceof Map || plain instanceof Set || plain instanceof Promise) {
      throw new Unsendable(`a ${plain.constructor.name} can not be sent`);
    }
    this.#record(plain as Record<string, unknown>, depth);
  }

  #record(record: Record<string, unknown>, depth: number): void {
    const keys = Object.keys(record);
    let count = 0;
    for (const key of keys) if (record[key] !== undefined) count += 1;
    this.#head(count, 0x80, 15, 0xde);
    for (const key of keys) {
      const value = record[key];
      if (value === undefined) continue;
      this.#text(key);
      this.write(value, depth);
    }
  }

  #number(value: number): void {
    if (!Number.isInteger(value)) return this.#float(value);
    if (value >= 0 && value < 128) return this.#byte(value);
    if (Number.isSafeInteger(value)) return this.#safe(value);
    // JavaScript rounds the literal; what is left of it is an integer with all its digits, as far as 64 bits go.
    if (value < 2 ** 64 && value >= -(2 ** 63)) return this.#integer(BigInt(value));
    this.#float(value);
  }

  #safe(value: number): void {
    this.#reserve(9);
    const { buffer } = this;
    if (value >= 0 && value < 2 ** 32) {
      const [mark, length] = value < 2 ** 8 ? [0xcc, 1] : value < 2 ** 16 ? [0xcd, 2] : [0xce, 4];
      buffer[this.#at] = mark;
      this.#at = buffer.writeUIntBE(value, this.#at + 1, length);
    } else if (value < 0 && value >= -(2 ** 31)) {
      if (value >= -32) {
        buffer[this.#at++] = value & 0xff;
        return;
      }
      const [mark, length] = value >= -128 ? [0xd0, 1] : value >= -(2 ** 15) ? [0xd1, 2] : [0xd2, 4];
      buffer[this.#at] = mark;
      this.#at = buffer.writeIntBE(value, this.#at + 1, length);
    } else {
      buffer[this.#at] = 0xd3;
      this.#at = buffer.writeBigInt64BE(BigInt(value), this.#at + 1);
    }
  }

  #integer(value: bigint): void {
    if (value >= -(2n ** 53n) && value < 2n ** 53n) return this.#number(Number(value));
    if (value < -(2n ** 63n) || value >= 2n ** 64n) {
      throw new Unsendable("an integer has more than the 64 bits of MessagePack", true);
    }
    this.#reserve(9);
    const signed = value < 2n ** 63n;
    this.buffer[this.#at] = signed ? 0xd3 : 0xcf;
    const at = this.#at + 1;
    this.#at = signed ? this.buffer.writeBigInt64BE(value, at) : this.buffer.writeBigUInt64BE(value, at);
  }

  #float(value: number): void {
    this.#reserve(9);
    this.buffer[this.#at] = 0xcb;
    this.#at = this.buffer.writeDoubleBE(value, this.#at + 1);
  }

  #text(text: string): void {
    const length = text.length;
    if (length < 32) {
      this.#reserve(1 + length);
      const { buffer } = this;
      const start = this.#at + 1;
      let index = 0;
      for (; index < length; index += 1) {
        const code = text.charCodeAt(index);
        if (code > 127) break;
        buffer[start + index] = code;
      }
      if (index === length) {
        buffer[this.#at] = 0xa0 | length;
        this.#at = start + length;
        return;
      }
    }
    if (!isWellFormed(text)) throw new Unsendable("a text has half a surrogate pair, which UTF-8 can not carry");
    const bytes = Buffer.byteLength(text, "utf8");
    if (bytes < 32) this.#byte(0xa0 | bytes);
    else this.#length(bytes, 0xd9);
    this.#reserve(bytes);
    this.#at += this.buffer.write(text, this.#at, bytes, "utf8");
  }

  #bytes(bytes: Uint8Array): void {
    this.#length(bytes.length, 0xc4);
    this.#reserve(bytes.length);
    this.buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** The head of an array or a map: its length in the mark where that is small. */
  #head(count: number, small: number, most: number, mark16: number): void {
    if (count <= most) return this.#byte(small | count);
    this.#reserve(5);
    const wide = count >= 2 ** 16;
    this.buffer[this.#at] = wide ? mark16 + 1 : mark16;
    this.#at = this.buffer.writeUIntBE(count, this.#at + 1, wide ? 4 : 2);
  }

  /** The head of text or bytes; `mark8` is that of a length of one byte, the next two are those of two and four. */
  #length(length: number, mark8: number): void {
    this.#reserve(5);
    const step = length < 2 ** 8 ? 0 : length < 2 ** 16 ? 1 : 2;
    this.buffer[this.#at] = mark8 + step;
    this.#at = this.buffer.writeUIntBE(length, this.#at + 1, 1 << step);
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.buffer[this.#at++] = value;
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2));
    this.buffer.copy(larger, 0, 0, this.#at);
    this.buffer = larger;
  }
}

function isWellFormed(text: string): boolean {
  // Of ES2024, which Node 20 has and its types do not.
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}
