/**
 * EmbeddingService: texts as vectors.
 */
import type { SimilarityFunction } from "./generated/bridge/v1/SimilarityFunction.js";
import type { CallOptions } from "./options.js";
import type { Transport } from "./transport.js";
import { wire } from "./wire.js";

const service = wire["bridge.v1.EmbeddingService"];

/** Options of an embedding. */
export interface EmbedOptions extends CallOptions {
  /** The model, by its name in the server's configuration; else "default". */
  model?: string;
  /** Scale each vector to length 1. Default true. */
  normalize?: boolean;
}

/** Options of a comparison. */
export interface SimilarityOptions extends CallOptions {
  /** The model, by its name in the server's configuration; else "default". */
  model?: string;
  /** How two vectors are compared; the distances are negated, so that more is always more alike. Default "cosine". */
  function?: "cosine" | "dot" | "euclidean" | "manhattan";
  /** Compare the first with the first, the second with the second; both lists have one length. */
  pairwise?: boolean;
}

/** Embeds and compares texts. */
export class Embeddings {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Return one vector per text, in the order of the texts. */
  async embed(texts: readonly string[], options: EmbedOptions = {}): Promise<Float32Array[]> {
    const request = {
      model: options.model ?? "",
      texts: listOfTexts(texts, "texts"),
      ...(options.normalize === undefined ? {} : { normalize: options.normalize }),
    };
    const { embeddings } = await this.#transport.unary(service.Embed, request, options);
    return embeddings.map(({ values }) => Float32Array.from(values));
  }

  /**
   * Compare each text of the first list with each of the second: one row per text of the first list.
   * With `pairwise` there is one row, with one score per pair.
   */
  async similarity(
    left: readonly string[],
    right: readonly string[],
    options: SimilarityOptions = {},
  ): Promise<Float32Array[]> {
    const request = {
      model: options.model ?? "",
      left: listOfTexts(left, "left"),
      right: listOfTexts(right, "right"),
      function: `SIMILARITY_FUNCTION_${(options.function ?? "cosine").toUpperCase()}` as SimilarityFunction,
      pairwise: options.pairwise ?? false,
    };
    const { rows } = await this.#transport.unary(service.Similarity, request, options);
    return rows.map(({ scores }) => Float32Array.from(scores));
  }
}

/** A string is iterable: without this check its letters would be embedded one by one. */
function listOfTexts(texts: readonly string[], name: string): string[] {
  if (!Array.isArray(texts)) throw new TypeError(`expected ${name} to be an array of strings, got ${typeof texts}`);
  return [...texts];
}
