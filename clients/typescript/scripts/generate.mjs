// Writes the TypeScript types of the messages in proto/ to src/generated/ (not checked in: `npm run build` makes them).
// The options must match those of src/wire.ts, which loads the same files at run time.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PROTO_FILES } from "./proto-files.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const loader = createRequire(import.meta.url).resolve("@grpc/proto-loader/package.json");
const generator = join(dirname(loader), "build", "bin", "proto-loader-gen-types.js");

const generated = join(root, "src", "generated");
// Made beside it and put in its place only where something differs: two builds at a time do not take it from each other.
const made = mkdtempSync(join(root, ".generated-"));
execFileSync(
  process.execPath,
  [
    generator,
    "--longs=String",
    "--enums=String",
    "--defaults",
    "--oneofs",
    "--grpcLib=@grpc/grpc-js",
    "--importFileExtension=.js",
    "--includeDirs=proto",
    `--outDir=${made}`,
    ...PROTO_FILES,
  ],
  { cwd: root, stdio: ["ignore", "ignore", "inherit"] },
);
// One overview per file, which nothing uses and which does not pass the compiler's strict options.
for (const name of readdirSync(made)) if (name.endsWith(".ts")) rmSync(join(made, name));

const files = (folder) => readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".ts")).sort();
const text = (folder) => files(folder).map((name) => `${name}\n${readFileSync(join(folder, name), "utf8")}`).join("\n");
if (existsSync(generated) && text(generated) === text(made)) {
  rmSync(made, { recursive: true });
} else {
  rmSync(generated, { recursive: true, force: true });
  renameSync(made, generated);
}
