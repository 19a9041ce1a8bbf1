/**
 * The items of one stream, put together where they come in parts. It owns the item that is not complete yet.
 */
import type { StreamCallResponse__Output } from "./generated/bridge/v1/StreamCallResponse.js";
import type { LargeIntegers } from "./json.js";
import { badReply, decodeValue } from "./payload.js";
import { wire } from "./wire.js";

/** Reads the replies of one stream, in order. */
export class Parts {
  readonly #largeIntegers: LargeIntegers;
  #item = Buffer.alloc(0);
  #filled = 0;

  constructor(largeIntegers: LargeIntegers) {
    this.#largeIntegers = largeIntegers;
  }

  /** Return the values of the items that are complete. Throws BridgeError for parts that do not fit together. */
  read(reply: StreamCallResponse__Output): unknown[] {
    if (reply.part) return this.#part(Number(reply.part.offset), Number(reply.part.total), reply.part.data);
    if (this.#filled > 0) throw badReply(`expected the rest of an item of ${this.#item.length} bytes, got another item`);
    const items = reply.items.length > 0 ? reply.items : [reply.item];
    return items.map((item) => decodeValue(item, this.#largeIntegers));
  }

  #part(offset: number, total: number, data: Buffer): unknown[] {
    if (this.#filled === 0) this.#item = Buffer.allocUnsafe(total);
    const end = offset + data.length;
    if (offset !== this.#filled || total !== this.#item.length || data.length === 0 || end > total) {
      const expected = `the part at ${this.#filled} of ${this.#item.length} bytes`;
      throw badReply(`expected ${expected}, got ${offset} to ${end} of ${total}`);
    }
    data.copy(this.#item, offset);
    this.#filled = end;
    if (end < total) return [];
    const item = this.#item;
    this.#item = Buffer.alloc(0);
    this.#filled = 0;
    return [decodeValue(wire["bridge.v1.Payload"].deserialize(item), this.#largeIntegers)];
  }
}
