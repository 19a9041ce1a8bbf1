/**
 * The snippets of the README, run in their order as one program, and the output that they promise.
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(`${root}README.md`, "utf8");
const snippets = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code as string);
const promises = snippets.flatMap((code) => [...code.matchAll(/\/\/ prints (.*)$/gm)].map(([, text]) => text as string));

test("the README has snippets that are checked", () => {
  expect(snippets.length).toBeGreaterThan(5);
  expect(promises.length).toBeGreaterThan(10);
});

test.skipIf(!process.env.BRIDGE_ADDRESS)("the snippets do what the README says", async () => {
  // Inside the package, so that its own name can be imported; the build has made dist/.
  mkdirSync(`${root}dist`, { recursive: true });
  const folder = mkdtempSync(`${root}dist/readme-`);
  try {
    const program = snippets.join("\n").replaceAll("127.0.0.1:50051", process.env.BRIDGE_ADDRESS as string);
    writeFileSync(`${folder}/readme.mjs`, program);
    const { stdout } = await promisify(execFile)(process.execPath, [`${folder}/readme.mjs`], { timeout: 55_000 });
    const lines = stdout.split("\n");
    for (const promise of promises) {
      // "1, 2, 3" is printed by a loop, one line each; a list in brackets is one line.
      const expected = /^\d+(, \d+)+$/.test(promise) ? promise.split(", ") : [promise];
      for (const line of expected) {
        const at = lines.indexOf(line);
        expect(at, `"${line}" should come in:\n${lines.join("\n")}`).toBeGreaterThanOrEqual(0);
        lines.splice(0, at + 1);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
