// Keeps proto/bridge/v1/ a copy of the repository's /proto. With --check it only compares and fails on a difference.
// It needs nothing but Node, so that `make check` can run it before `npm ci`.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { BRIDGE_FILES } from "./proto-files.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, "..", "..", "..", "proto", "bridge", "v1");
const copy = join(here, "..", "proto", "bridge", "v1");
const names = readdirSync(source).filter((name) => name.endsWith(".proto"));
const read = (path) => (existsSync(path) ? readFileSync(path, "utf8") : undefined);

const listed = BRIDGE_FILES.map((path) => path.split("/").pop());
const unlisted = names.filter((name) => !listed.includes(name));
if (unlisted.length > 0) {
  console.error(`clients/typescript/scripts/proto-files.mjs does not list ${unlisted.join(", ")}: add it to BRIDGE_FILES`);
  process.exit(1);
}

const changed = names.filter((name) => read(join(source, name)) !== read(join(copy, name)));
const extra = (existsSync(copy) ? readdirSync(copy) : []).filter((name) => !names.includes(name));
if (process.argv.includes("--check")) {
  if (changed.length + extra.length > 0) {
    console.error(`clients/typescript/proto differs from proto: ${[...changed, ...extra].join(", ")}`);
    console.error("fix: node clients/typescript/scripts/protos.mjs");
    process.exit(1);
  }
  console.log(`clients/typescript/proto is up to date (${names.length} files)`);
} else {
  mkdirSync(copy, { recursive: true });
  for (const name of changed) writeFileSync(join(copy, name), readFileSync(join(source, name)));
  for (const name of extra) rmSync(join(copy, name));
  console.log(`clients/typescript/proto: ${changed.length} written, ${extra.length} removed`);
}
