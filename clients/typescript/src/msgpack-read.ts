/**
 * Reading MessagePack, as far as the bridge sends it. Pure: it knows nothing about payloads.
 */
import type { LargeIntegers } from "./json.js";

/**
 * Read one MessagePack value. Integers that a number holds exactly become numbers, larger ones what `largeIntegers`
 * says; bytes become Uint8Arrays of their own. Throws RangeError for bytes that are no such value.
 */
export function readMsgpack(bytes: Uint8Array, largeIntegers: LargeIntegers): unknown {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const reader = new Reader(buffer, largeIntegers);
  const value = reader.read();
  if (reader.at !== buffer.length) {
    throw new RangeError(`expected one MessagePack value, got ${buffer.length - reader.at} bytes behind it`);
  }
  return value;
}

class Reader {
  at = 0;
  readonly #buffer: Buffer;
  readonly #largeIntegers: LargeIntegers;

  constructor(buffer: Buffer, largeIntegers: LargeIntegers) {
    this.#buffer = buffer;
    this.#largeIntegers = largeIntegers;
  }

  read(): unknown {
    const mark = this.#buffer[this.at];
    if (mark === undefined) throw new RangeError("the MessagePack value is cut off");
    this.at += 1;
    if (mark < 0x80) return mark;
    if (mark < 0x90) return this.#map(mark & 0x0f);
    if (mark < 0xa0) return this.#array(mark & 0x0f);
    if (mark < 0xc0) return this.#text(mark & 0x1f);
    if (mark >= 0xe0) return mark - 256;
    return this.#marked(mark);
  }

  #marked(mark: number): unknown {
    switch (mark) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#bytes(this.#unsigned(1 << (mark - 0xc4)));
      case 0xca:
        return this.#buffer.readFloatBE(this.#skip(4));
      case 0xcb:
        return this.#buffer.readDoubleBE(this.#skip(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#unsigned(1 << (mark - 0xcc));
      case 0xcf:
        return this.#large(this.#buffer.readBigUInt64BE(this.#skip(8)));
      case 0xd0:
      case 0xd1:
      case 0xd2: {
        const size = 1 << (mark - 0xd0);
        return this.#buffer.readIntBE(this.#skip(size), size);
      }
      case 0xd3:
        return this.#large(this.#buffer.readBigInt64BE(this.#skip(8)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#unsigned(1 << (mark - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#unsigned(mark === 0xdc ? 2 : 4));
      case 0xde:
      case 0xdf:
        return this.#map(this.#unsigned(mark === 0xde ? 2 : 4));
      default:
        throw new RangeError(`expected a value that the bridge sends, got the MessagePack mark 0x${mark.toString(16)}`);
    }
  }

  #unsigned(size: number): number {
    return this.#buffer.readUIntBE(this.#skip(size), size);
  }

  #large(value: bigint): number | bigint | string {
    if (value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER)) return Number(value);
    return this.#largeIntegers === "bigint" ? value : value.toString();
  }

  #text(length: number): string {
    const start = this.#skip(length);
    if (length < 24) {
      let text = "";
      for (let at = start; at < start + length; at += 1) {
        const code = this.#buffer[at] as number;
        if (code > 127) return this.#buffer.toString("utf8", start, start + length);
        text += String.fromCharCode(code);
      }
      return text;
    }
    return this.#buffer.toString("utf8", start, start + length);
  }

  /** Bytes as a Uint8Array of their own, so that they do not keep the whole message alive. */
  #bytes(length: number): Uint8Array {
    const start = this.#skip(length);
    return Uint8Array.prototype.slice.call(new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset + start, length));
  }

  #array(length: number): unknown[] {
    this.#expect(length);
    const items: unknown[] = [];
    for (let index = 0; index < length; index += 1) items.push(this.read());
    return items;
  }

  #map(length: number): Record<string, unknown> {
    this.#expect(length);
    const record: Record<string, unknown> = {};
    for (let index = 0; index < length; index += 1) {
      const key = String(this.read());
      const value = this.read();
      // Assigned, it would be the record's prototype.
      if (key === "__proto__") Object.defineProperty(record, key, { value, enumerable: true, configurable: true, writable: true });
      else record[key] = value;
    }
    return record;
  }

  /** Each item takes a byte at least: a length that lies is found before anything is made for it. */
  #expect(items: number): void {
    if (items > this.#buffer.length - this.at) throw new RangeError("the MessagePack value is cut off");
  }

  #skip(bytes: number): number {
    const start = this.at;
    if (bytes > this.#buffer.length - start) throw new RangeError("the MessagePack value is cut off");
    this.at = start + bytes;
    return start;
  }
}
