import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import { isObject } from '../protocol/message.ts'
import { SandboxError } from '../sandbox/sandbox-error.ts'
import { digestOf, isPlan } from './pin.ts'
import type { Pin } from './pin.ts'

/** Where the pins of a configuration are: `upstreams.yaml` → `upstreams.lock.json`, beside it. */
export function lockFileOf (config: string): string {
  return join(dirname(config), `${basename(config, extname(config))}.lock.json`)
}

/**
 * The pin of one upstream; undefined when it has none.
 * @throws SandboxError when the file cannot be read, or says something else than it did when it was written
 */
export function readPin (file: string, upstream: string): Pin | undefined {
  const pin = readAll(file)[upstream]
  if (pin === undefined) return undefined
  if (!isPin(pin)) throw damaged(file, `the entry "${upstream}" is not one that Portcullis wrote`)
  if (digestOf(pin.plan) !== pin.digest) throw damaged(file, `the entry "${upstream}" was changed: its digest is not that of its plan`)
  return pin
}

/**
 * Writes the pin of one upstream, or takes it out; the others stay as they are.
 * @throws SandboxError when the file cannot be read or written
 */
export function writePin (file: string, upstream: string, pin: Pin | undefined): void {
  const { [upstream]: _, ...others } = readAll(file)
  const upstreams = Object.fromEntries(Object.entries(pin === undefined ? others : { ...others, [upstream]: pin }).sort(([left], [right]) => left < right ? -1 : 1))
  const draft = `${file}.${process.pid}`
  try {
    writeFileSync(draft, `${JSON.stringify({ version: 1, upstreams }, null, 2)}\n`)
    renameSync(draft, file)
  } catch (error) {
    rmSync(draft, { force: true })
    throw new SandboxError(`${file} cannot be written: ${error instanceof Error ? error.message : String(error)}.`, 'Run portcullis pin --approve where it can be, and bring the file here.', error)
  }
}

function readAll (file: string): Record<string, unknown> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw new SandboxError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}.`, undefined, error)
  }
  const value = parse(file, text)
  if (!isObject(value) || value['version'] !== 1 || !isObject(value['upstreams'])) throw damaged(file, 'it is not a lock file of this version')
  return { ...value['upstreams'] }
}

function parse (file: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw damaged(file, error instanceof Error ? error.message : String(error))
  }
}

function damaged (file: string, why: string): SandboxError {
  return new SandboxError(`${file} cannot be used: ${why}.`, 'Bring back the file that was approved, or remove the entry and approve it anew: portcullis pin --approve.')
}

function isPin (value: unknown): value is Pin {
  return isObject(value) && ['wanted', 'version', 'integrity', 'digest'].every((key) => typeof value[key] === 'string') && isPlan(value['plan'])
}
