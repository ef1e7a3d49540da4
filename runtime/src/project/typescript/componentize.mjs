// Makes a component of a project's sink: `node --input-type=module - FOLDER MAIN WIT BUNDLE OUTPUT`, run in the project's
// folder, where the packages are found.

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";
import { build } from "esbuild";

const [folder, main, witPath, bundle, output] = process.argv.slice(2);
// The engine has the platform of the web, and the host's interfaces as modules.
await build({
  stdin: {
    contents: `
      import definition from ${JSON.stringify(main)};
      import { component } from "sump-sdk/component";
      export const sink = component(definition);
    `,
    resolveDir: folder,
    sourcefile: "sump-entry.js",
  },
  outfile: bundle,
  bundle: true,
  format: "esm",
  platform: "neutral",
  mainFields: ["module", "main"],
  target: "es2022",
  charset: "utf8",
  external: ["wasi:*"],
  logLevel: "warning",
}).catch(() => process.exit(1));
try {
  const { component } = await componentize({
    sourcePath: bundle,
    witPath,
    worldName: "sink-component",
    disableFeatures: ["fetch-event"],
  });
  await writeFile(output, component);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
