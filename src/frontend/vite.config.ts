import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const outDir = resolve(process.env["WEB_OUT"] ?? "../mod_wsgi_dashboard/_web");

/** Compresses once, here, what the server would otherwise compress for every viewer. */
function precompress(): Plugin {
  return {
    name: "precompress",
    apply: "build",
    writeBundle() {
      const assets = join(outDir, "assets");
      for (const name of readdirSync(assets)) {
        const plain = readFileSync(join(assets, name));
        const packed = { gz: gzipSync(plain, { level: 9 }), br: brotliCompressSync(plain) };
        for (const [ending, bytes] of Object.entries(packed)) {
          if (bytes.length < plain.length) writeFileSync(join(assets, `${name}.${ending}`), bytes);
        }
      }
    },
  };
}

/**
 * Gives `virtual:worker` the address of the shared worker's script, as a part of the page's own build: Vite's way
 * with workers is a build of its own, and would put into it again what the page has.
 */
function sharedWorker(): Plugin {
  return {
    name: "shared-worker",
    apply: "build",
    resolveId: (source) => (source === "virtual:worker" ? "\0worker" : null),
    load(id) {
      if (id !== "\0worker") return null;
      const chunk = this.emitFile({ type: "chunk", id: resolve("src/worker.ts"), name: "worker" });
      return `export default import.meta.ROLLUP_FILE_URL_${chunk};`;
    },
  };
}

interface Modules {
  getModuleInfo(id: string): { readonly importedIds: readonly string[] } | null;
}

/** All that a module needs at once. */
function needs(id: string, modules: Modules, found = new Set<string>()): ReadonlySet<string> {
  found.add(id);
  for (const next of modules.getModuleInfo(id)?.importedIds ?? []) if (!found.has(next)) needs(next, modules, found);
  return found;
}

/**
 * What is loaded at first is two chunks: what the shared worker needs, and the page. Left to itself, the bundler makes
 * more of them, by what comes later needs of each; they pack worse, by a kilobyte.
 */
function chunkOf(id: string, modules: Modules): string | null {
  const worker = resolve("src/worker.ts");
  if (id !== worker && needs(worker, modules).has(id)) return "feed";
  return needs(resolve("src/main.tsx"), modules).has(id) ? "page" : null;
}

export default defineConfig({
  // Relative addresses: the page does not know its mount, the server's <base> does.
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir,
    emptyOutDir: true,
    // The page's CSP allows no inline anything.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: chunkOf }] } } },
    license: { fileName: "THIRD_PARTY.md" },
  },
  plugins: [sharedWorker(), precompress()],
  // Properties run over thousands of values, on machines that do other things too.
  test: { testTimeout: 60_000 },
});
