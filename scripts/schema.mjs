// Writes schema/upstreams.schema.json from src/config/schema.ts; with --check it only says whether the file is current.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'

import ts from 'typescript'

const root = fileURLToPath(new URL('..', import.meta.url))
const target = `${root}schema/upstreams.schema.json`
// Below the project, so that the package imports of the sources resolve.
const work = `${root}node_modules/.cache/portcullis-schema`

const text = `${JSON.stringify(await generate(), null, 2)}\n`
if (!process.argv.includes('--check')) {
  mkdirSync(`${root}schema`, { recursive: true })
  writeFileSync(target, text)
} else if (readFileSync(target, 'utf8') !== text) {
  console.error('schema/upstreams.schema.json is not what src/config/schema.ts says: run node scripts/schema.mjs')
  process.exitCode = 1
}

async function generate () {
  mkdirSync(work, { recursive: true })
  try {
    for (const name of ['schema', 'schema-identity', 'shapes', 'units']) writeFileSync(`${work}/${name}.mjs`, transpile(`${root}src/config/${name}.ts`))
    const { editorSchema } = await import(pathToFileURL(`${work}/schema.mjs`).href)
    return editorSchema()
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function transpile (file) {
  const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true }
  return ts.transpileModule(readFileSync(file, 'utf8'), { compilerOptions }).outputText.replaceAll(/from '\.\/([\w-]+)\.ts'/g, "from './$1.mjs'")
}
