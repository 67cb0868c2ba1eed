// Builds the dashboard: the bundle that the Go program embeds, or (--tests) the unit tests for node. The same sources give the same bytes.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = process.env.DASHBOARD_DIST ?? join(here, "../internal/dashboard/assets/dist");

const common = {
  absWorkingDir: here,
  bundle: true,
  jsx: "automatic",
  jsxImportSource: "preact",
  target: "es2022",
  logLevel: "warning",
};

const bundle = {
  ...common,
  entryPoints: { app: "src/main.tsx" },
  outdir: out,
  format: "esm",
  minify: true,
  legalComments: "none",
  define: { "process.env.NODE_ENV": '"production"' },
};

/** testFiles lists src/**.test.ts, sorted. */
function testFiles(dir) {
  return readdirSync(join(here, dir), { withFileTypes: true })
    .flatMap((e) => (e.isDirectory() ? testFiles(join(dir, e.name)) : e.name.endsWith(".test.ts") ? [join(dir, e.name)] : []))
    .sort();
}

/** licences joins those of what is in the bundle, as they ask for. */
function licences() {
  const { dependencies } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
  return [...Object.keys(dependencies), "@dagrejs/graphlib", "@preact/signals-core"]
    .sort()
    .map((name) => `${name}\n\n${readFileSync(join(here, "node_modules", name, "LICENSE"), "utf8").trim()}\n`)
    .join(`\n${"-".repeat(80)}\n\n`);
}

function copyStatic() {
  writeFileSync(join(out, "licences.txt"), licences());
  for (const name of ["index.html", "icon.svg"]) cpSync(join(here, "static", name), join(out, name));
}

if (process.argv.includes("--tests")) {
  const dir = join(here, "build/tests");
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  await esbuild.build({
    ...common,
    entryPoints: testFiles("src"),
    outdir: dir,
    platform: "node",
    format: "esm",
    sourcemap: "inline",
    entryNames: "[name]",
  });
  writeFileSync(join(dir, "package.json"), '{"type":"module"}\n');
} else if (process.argv.includes("--watch")) {
  mkdirSync(out, { recursive: true });
  copyStatic();
  const context = await esbuild.context({ ...bundle, minify: false, sourcemap: "inline", logLevel: "info" });
  await context.watch();
} else {
  const built = await esbuild.build({ ...bundle, write: false }); // so that what is there stays when it fails
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  copyStatic();
  for (const file of built.outputFiles) writeFileSync(file.path, file.contents);
}
