import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, readdirSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const SUFFIX = '.jsonl'

/** Where a data directory keeps its checkpoints. */
export function checkpointFolder (data: string): string {
  return join(data, 'checkpoints')
}

/** Appends a checkpoint to the file of its month, on the device before this returns. */
export function appendCheckpoint (data: string, time: Date, line: string): void {
  const folder = checkpointFolder(data)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  // One write at the end of the file: lines of several processes do not mix.
  const descriptor = openSync(join(folder, `${time.toISOString().slice(0, 7)}${SUFFIX}`), 'a', 0o600)
  try {
    writeSync(descriptor, `${line}\n`)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Every line there is, oldest month first. */
export function readCheckpointFiles (data: string): string[] {
  const folder = checkpointFolder(data)
  if (!existsSync(folder)) return []
  return readdirSync(folder).filter(name => name.endsWith(SUFFIX)).sort().flatMap(name => linesOf(readFileSync(join(folder, name), 'utf8')))
}

/** The newest line, '' when there is none. */
export function newestCheckpoint (data: string): string {
  const folder = checkpointFolder(data)
  if (!existsSync(folder)) return ''
  const newest = readdirSync(folder).filter(name => name.endsWith(SUFFIX)).sort().at(-1)
  return newest === undefined ? '' : linesOf(readFileSync(join(folder, newest), 'utf8')).at(-1) ?? ''
}

export function linesOf (text: string): string[] {
  return text.split('\n').filter(line => line !== '')
}
