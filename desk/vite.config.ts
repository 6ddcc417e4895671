import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin, type Rollup } from "vite";

export default defineConfig({
  base: "/desk/",
  oxc: { jsx: { importSource: "preact" } },
  plugins: [firstLoad(200_000)],
  build: {
    outDir: "../dist/desk",
    emptyOutDir: true,
    target: ["chrome123", "firefox121", "safari17.5"],
    // the page's policy allows no script and no picture that is written into a file of another type
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:7080", "/desk/api": "http://127.0.0.1:7080" } },
});

/** Fails the build when any page, opened first, would load more than `maxBytes` of gzipped HTML, script and style. */
function firstLoad(maxBytes: number): Plugin {
  return {
    name: "first-load",
    apply: "build",
    writeBundle({ dir }, bundle) {
      const sizeOf = (file: string): number => gzipSync(readFileSync(join(dir!, file))).length;
      const chunks = Object.values(bundle).filter((each) => each.type === "chunk");
      const entry = chunks.find((each) => each.isEntry)!;
      for (const page of [undefined, ...entry.dynamicImports]) {
        const files = filesOf([entry.fileName, ...(page ? [page] : [])], bundle).add("index.html");
        const bytes = [...files].map(sizeOf).reduce((sum, each) => sum + each, 0);
        if (bytes > maxBytes) this.error(`${page ?? entry.fileName} loads ${bytes} bytes first, gzipped`);
      }
    },
  };
}

/** The chunks that these import, they themselves, and the styles of all of them. */
function filesOf(names: readonly string[], bundle: Rollup.OutputBundle): Set<string> {
  const files = new Set(names);
  for (const name of files) {
    const chunk = bundle[name];
    if (chunk?.type !== "chunk") continue;
    for (const each of [...chunk.imports, ...(chunk.viteMetadata?.importedCss ?? [])]) files.add(each);
  }
  return files;
}
