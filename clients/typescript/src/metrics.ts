/**
 * MetricService: scores of texts against references.
 */
import type { MetricScore__Output } from "./generated/bridge/v1/MetricScore.js";
import { parseJson, writeJson } from "./json.js";
import type { CallOptions } from "./options.js";
import type { Transport } from "./transport.js";
import { enumName, wire } from "./wire.js";

const service = wire["bridge.v1.MetricService"];

/** A prediction and one or more right answers. */
export interface Example {
  prediction: string;
  references: readonly string[];
}

/** Options of a scoring. */
export interface ScoreOptions extends CallOptions {
  /** The metric's parameters; else its defaults. */
  parameters?: object;
}

/** A score in the metric's own range, and the parts it is made from. */
export interface Score {
  value: number;
  details: Record<string, number>;
}

/** What makes a score reproducible. */
export interface Provenance {
  /** The parameters that were used, defaults included. */
  parameters: Record<string, unknown>;
  /** The library's signature string; empty where it defines none. */
  signature: string;
}

/** A metric and what it needs. */
export interface MetricInfo {
  name: string;
  /** What it measures, its range and its source. */
  doc: string;
  /** JSON Schema of its parameters. */
  parametersSchema: unknown;
  /** Where it may run: "native" or "pooled". */
  placement: string;
  pool: string;
  /** Whether it can be asked for now. */
  available: boolean;
  /** The extra to install where it is not available; empty otherwise. */
  missingExtra: string;
}

/** Scores predictions. */
export class Metrics {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Score one prediction. */
  async score(metric: string, example: Example, options: ScoreOptions = {}): Promise<Score & Provenance> {
    const request = { metric, example: toExample(example), parameters: toText(options.parameters) };
    const reply = await this.#transport.unary(service.Score, request, options);
    return { ...toScore(reply.score), ...toProvenance(reply) };
  }

  /** Score many predictions, each by itself and all together (the corpus score where there is one, else the mean). */
  async scoreBatch(
    metric: string,
    examples: readonly Example[],
    options: ScoreOptions = {},
  ): Promise<{ scores: Score[]; aggregate: Score } & Provenance> {
    const request = { metric, examples: examples.map(toExample), parameters: toText(options.parameters) };
    const reply = await this.#transport.unary(service.ScoreBatch, request, options);
    return { scores: reply.scores.map(toScore), aggregate: toScore(reply.aggregate), ...toProvenance(reply) };
  }

  /** Return the metrics, in the order of names. */
  async list(options: CallOptions = {}): Promise<MetricInfo[]> {
    const { metrics } = await this.#transport.unary(service.ListMetrics, {}, options);
    return metrics.map((info) => ({
      name: info.name,
      doc: info.doc,
      parametersSchema: parseJson(info.parametersSchema || "null"),
      placement: enumName(info.placement, "PLACEMENT_"),
      pool: info.pool,
      available: info.available,
      missingExtra: info.missingExtra,
    }));
  }
}

function toExample({ prediction, references }: Example) {
  if (!Array.isArray(references)) throw new TypeError(`expected references to be an array, got ${typeof references}`);
  return { prediction, references: [...references] };
}

function toText(parameters: object | undefined): string {
  return parameters === undefined ? "" : writeJson(parameters, () => undefined);
}

function toScore(score: MetricScore__Output | null): Score {
  return { value: score?.value ?? Number.NaN, details: { ...score?.details } };
}

function toProvenance({ parameters, signature }: { parameters: string; signature: string }): Provenance {
  return { parameters: parseJson(parameters || "{}") as Record<string, unknown>, signature };
}
