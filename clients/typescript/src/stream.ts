/**
 * The results of a call that come one by one. It knows nothing about how they come.
 */
import type { Receipt } from "./receipt.js";

/** What a stream's call leaves for the stream's owner. */
export interface StreamCall {
  /** Ends the call; there once it has been made. */
  cancel?: () => void;
  /** Reads the receipt; there once the call has ended. */
  receipt?: () => Receipt | undefined;
}

/** The results of a stream. It can be iterated over once; leaving the loop early cancels the call. */
export class ResultStream<Item> implements AsyncIterable<Item>, AsyncDisposable {
  readonly #call: StreamCall = {};
  readonly #items: AsyncGenerator<Item, void, undefined>;
  #taken = false;
  #receipt: Receipt | undefined;

  /** Made by the calls that stream. */
  constructor(open: (call: StreamCall) => AsyncGenerator<Item, void, undefined>) {
    this.#items = open(this.#call);
  }

  /** What the call cost; undefined until it has ended. */
  get receipt(): Receipt | undefined {
    this.#receipt ??= this.#call.receipt?.();
    return this.#receipt;
  }

  /** End the call, on the server too: a loop over it that waits ends with a BridgeError CANCELLED. */
  async cancel(): Promise<void> {
    this.#taken = true;
    this.#call.cancel?.();
    await this.#items.return();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cancel();
  }

  [Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    if (this.#taken) throw new TypeError("a stream can be iterated over once; make the call again");
    this.#taken = true;
    return this.#items;
  }
}
