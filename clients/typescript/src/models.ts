/**
 * ModelService: the language models that the server's configuration names.
 */
import {
  type Extraction,
  type ExtractionEvent,
  type ExtractOptions,
  type GenerateOptions,
  type Generation,
  type GenerationEvent,
  toExtraction,
  toExtractionEvents,
  toGeneration,
  toGenerationEvents,
} from "./answers.js";
import { Batches } from "./batches.js";
import { type Conversation, modelFields, toMessages, toolFields, toText } from "./conversation.js";
import type { ImageDelivery } from "./generated/bridge/v1/ImageDelivery.js";
import type { CallOptions } from "./options.js";
import { type ModelUsage, toUsage } from "./receipt.js";
import { type ModelInfo, type Spending, toModelInfo, toSpending } from "./spending.js";
import type { ResultStream } from "./stream.js";
import type { Transport } from "./transport.js";
import { wire } from "./wire.js";

const service = wire["bridge.v1.ModelService"];

/** Options of images. */
export interface ImagesOptions extends CallOptions {
  model?: string;
  /** How many (1 to 10). Default 1. */
  count?: number;
  /** Such as "1024x1024", or a word that the model knows. */
  size?: string;
  /** A word that the model knows, such as "hd". */
  quality?: string;
  /** Whether bytes or addresses are wanted, for models that have the choice. */
  delivery?: "data" | "url";
}

/** An image that a model has made: bytes, or an address at the provider. */
export interface GeneratedImage {
  data: Uint8Array | undefined;
  url: string | undefined;
  /** Such as "image/png"; empty where only the address is known. */
  mediaType: string;
  /** The prompt that the provider has made of yours; may be empty. */
  revisedPrompt: string;
}

/** Calls language models. A conversation is a list of messages; a string stands for one message of the user. */
export class Models extends Batches {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    super(transport);
    this.#transport = transport;
  }

  /** Return a model's whole answer. */
  async generate(conversation: Conversation, options: GenerateOptions = {}): Promise<Generation> {
    const request = { ...modelFields(options), ...toolFields(options), messages: toMessages(conversation) };
    return toGeneration(await this.#transport.unary(service.Generate, request, options));
  }

  /** Send a model's answer as it is written. */
  stream(conversation: Conversation, options: GenerateOptions = {}): ResultStream<GenerationEvent> {
    const request = { ...modelFields(options), ...toolFields(options), messages: toMessages(conversation) };
    return this.#transport.stream(service.StreamGenerate, request, options, toGenerationEvents);
  }

  /** Return an answer that fits a JSON Schema. */
  async extract<Value = unknown>(
    conversation: Conversation,
    schema: object,
    options: ExtractOptions = {},
  ): Promise<Extraction<Value>> {
    const reply = await this.#transport.unary(service.Extract, extractRequest(conversation, schema, options), options);
    return toExtraction(reply, this.#transport.largeIntegers);
  }

  /**
   * Send an answer that fits a JSON Schema while it is written: values that grow, or, where the schema is an array, its
   * items one by one; and then the whole answer, which alone is checked.
   */
  streamExtract<Value = unknown, Item = unknown>(
    conversation: Conversation,
    schema: object,
    options: ExtractOptions = {},
  ): ResultStream<ExtractionEvent<Value, Item>> {
    const request = extractRequest(conversation, schema, options);
    const { largeIntegers } = this.#transport;
    return this.#transport.stream(service.StreamExtract, request, options, (reply) => {
      return toExtractionEvents<Value, Item>(reply, largeIntegers);
    });
  }

  /** Return images made from a text. */
  async generateImages(
    prompt: string,
    options: ImagesOptions = {},
  ): Promise<{ images: GeneratedImage[]; model: string; usage: ModelUsage | undefined }> {
    const { model = "", count = 1, size = "", quality = "", delivery } = options;
    const wanted = `IMAGE_DELIVERY_${(delivery ?? "unspecified").toUpperCase()}` as ImageDelivery;
    const request = { model, prompt, count, size, quality, delivery: wanted };
    const reply = await this.#transport.unary(service.GenerateImages, request, options);
    const images = reply.images.map(({ data, url, mediaType, revisedPrompt }) => {
      return { data: data && new Uint8Array(data), url, mediaType, revisedPrompt };
    });
    return { images, model: reply.model, usage: reply.usage ? toUsage(reply.usage) : undefined };
  }

  /** Return the configured models with their limits, and how they stand. */
  async list(options: CallOptions = {}): Promise<ModelInfo[]> {
    return (await this.#transport.unary(service.ListModels, {}, options)).models.map(toModelInfo);
  }

  /** Return what calls, or those of one function, have used of models since the server's start, and what is left of budgets. */
  async costs(options: CallOptions & { function?: string } = {}): Promise<Spending> {
    return toSpending(await this.#transport.unary(service.ListCosts, { function: options.function ?? "" }, options));
  }
}

function extractRequest(conversation: Conversation, schema: object, options: ExtractOptions) {
  const { maxRetries } = options;
  const messages = toMessages(conversation);
  const retries = maxRetries === undefined ? {} : { maxRetries };
  return { ...modelFields(options), messages, schema: toText(schema), ...retries };
}
