/**
 * Loader of Node: a `.ts` file is given as JavaScript in which blanks stand where the types were, so that every line and
 * column is where it was written. What was stripped once is kept; a file that has changed is another file.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const kept = fileURLToPath(new URL('../node_modules/.cache/portcullis/stripped/', import.meta.url))
mkdirSync(kept, { recursive: true })

/** @type {import('node:module').LoadHook} */
export async function load (url, context, next) {
  if (!/^file:.*\.ts$/.test(url)) return await next(url, context)
  return { format: 'module', source: await stripped(readFileSync(fileURLToPath(url), 'utf8')), shortCircuit: true }
}

async function stripped (text) {
  const file = join(kept, createHash('sha256').update(text).digest('hex'))
  try {
    return readFileSync(file, 'utf8')
  } catch {
    const { default: strip } = await import('ts-blank-space')
    const source = strip(text)
    // Another process may be about to read it.
    writeFileSync(`${file}.${process.pid}`, source)
    renameSync(`${file}.${process.pid}`, file)
    return source
  }
}
