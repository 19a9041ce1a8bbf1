/**
 * Who the client is and whom it trusts: API keys, and the certificates of TLS. Reads files and the environment, once
 * for each connection, and shows no secret in an error.
 */
import { readFileSync } from "node:fs";
import { type ChannelCredentials, credentials } from "@grpc/grpc-js";

/** TLS of a connection. Each is the path of a PEM file, or PEM itself. */
export interface TlsOptions {
  /** The authority that signed the server's certificate; else those that Node trusts. */
  ca?: string | Uint8Array;
  /** The client's own certificate, for servers that ask for one; with `key`. */
  certificate?: string | Uint8Array;
  /** The key of the client's certificate. */
  key?: string | Uint8Array;
  /** The name that the server's certificate must have, where that is not the address. */
  serverName?: string;
}

/** Return the credentials of a channel. Throws TypeError for what does not fit together, Error for what can not be read. */
export function channelCredentials(
  tls: boolean | TlsOptions | undefined,
  given: ChannelCredentials | undefined,
): ChannelCredentials {
  if (given !== undefined) {
    if (tls) throw new TypeError("expected tls or credentials, got both");
    return given;
  }
  if (tls === undefined || tls === false) return credentials.createInsecure();
  const { ca, certificate, key } = tls === true ? ({} as TlsOptions) : tls;
  if ((certificate === undefined) !== (key === undefined)) {
    throw new TypeError("expected tls.certificate and tls.key together, got one of them");
  }
  return credentials.createSsl(pem(ca, "ca"), pem(key, "key"), pem(certificate, "certificate"));
}

/** Return the options of a channel that TLS asks for. */
export function channelOptions(tls: boolean | TlsOptions | undefined): Record<string, string> {
  const name = typeof tls === "object" ? tls.serverName : undefined;
  return name === undefined ? {} : { "grpc.ssl_target_name_override": name, "grpc.default_authority": name };
}

/** Return the key that "env:NAME" or "file:PATH" refers to, or the key itself. */
export function resolveKey(reference: string): string {
  const key = readKey(reference).trim();
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new TypeError("expected key to be printable ASCII text without blanks, got something else");
}

function readKey(reference: string): string {
  if (reference.startsWith("file:")) return readText(reference.slice("file:".length), "key").toString("utf8");
  if (!reference.startsWith("env:")) return reference;
  const name = reference.slice("env:".length);
  const value = process.env[name];
  if (!value) throw new TypeError(`expected the API key in the environment variable ${name}, which is not set`);
  return value;
}

function pem(value: string | Uint8Array | undefined, what: string): Buffer | null {
  if (value === undefined) return null;
  if (typeof value !== "string") return Buffer.from(value);
  return value.includes("-----BEGIN") ? Buffer.from(value) : readText(value, `tls.${what}`);
}

function readText(path: string, what: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`can not read the file of ${what}: ${(error as Error).message}`, { cause: error });
  }
}
