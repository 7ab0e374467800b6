import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

import { splitCommand } from './command.ts'
import { hijacks } from './hijack.ts'
import { present } from './reading.ts'
import { references } from './references.ts'
import { readText } from './referring.ts'
import type { Part } from './referring.ts'
import { readRemote } from './remote.ts'
import { readSandbox } from './sandbox.ts'
import { defaults } from './schema.ts'
import type { RawUpstream } from './schema.ts'
import { parseDuration } from './units.ts'
import type { UpstreamSpec } from './config.ts'
import type { Path } from './problems.ts'
import type { Surroundings } from './reading.ts'

/** The longest time a timer can wait: 2^31 - 1 ms, rounded down to days. */
const longest = parseDuration('24d')

/** One entry of `upstreams` → how to run that server. Problems go to the report; the value is only used when there are none. */
export function readUpstream (name: string, raw: RawUpstream, around: Surroundings): UpstreamSpec {
  const path = ['upstreams', name]
  const isolation = raw.isolation ?? defaults.isolation
  return {
    name,
    isolation,
    remote: readRemote(raw, path, isolation, around),
    command: readCommand(raw, path, isolation, around),
    env: readEnv(raw.env ?? {}, [...path, 'env'], isolation, around),
    cwd: readCwd(raw.cwd, [...path, 'cwd'], around),
    sandbox: readSandbox(raw.sandbox, [...path, 'sandbox'], around),
    asks: raw.asks ?? defaults.asks,
    takesTurns: raw.asks !== undefined && raw.asks.length > 0,
    timeouts: readTimeouts(raw.timeouts ?? {}, [...path, 'timeouts'], around),
  }
}

function readCommand ({ command, args }: Partial<RawUpstream>, path: Path, isolation: string, around: Surroundings): string[] {
  const line = [...path, 'command']
  const list = (items: readonly string[] | undefined, at: Path) => present(items).map(([index, text]) => ({ text, path: [...at, index] }))
  const all = [...(typeof command === 'string' ? splitLine(command, line, around) : list(command, line)), ...list(args, [...path, 'args'])]
  if (typeof command !== 'string' && command?.[0] === '') around.report.problem([...line, 0], 'is empty: name the program to run')
  refuseCodeReferences(all, around)
  if (around.report.clean(line)) adviseOnPackage(all.map(({ text }) => text), line, around)
  return all.map((part) => readText(part, isolation, around))
}

function splitLine (raw: string, path: Path, { report }: Surroundings): Part[] {
  const result = splitCommand(raw)
  if ('words' in result) return result.words.map((text) => ({ text, path, line: raw }))
  report.problem(path, result.problem, result.offset)
  return []
}

const shells = /(?:^|\/)(?:ba|da|z|k|a)?sh$/

/** `sh -c "… ${user.name}"` would let the value be read as shell code. */
function refuseCodeReferences (parts: readonly Part[], { report }: Surroundings): void {
  const shell = parts.findIndex(({ text }) => shells.test(text))
  if (shell === -1) return
  const code = parts.findIndex(({ text }, index) => index > shell && /^-[a-z]*c[a-z]*$/.test(text))
  const part = code === -1 ? undefined : parts[code + 1]
  const reference = part === undefined ? undefined : references(part.text).find(({ kind }) => kind !== 'literal')
  if (part !== undefined && reference !== undefined) report.problem(part.path, 'a reference inside shell code would be read as code: put it under "env" and use the variable, "$NAME", in the code')
}

function adviseOnPackage (argv: readonly string[], path: Path, { directory, report }: Surroundings): void {
  if (argv[0] !== 'npx') return
  const name = argv.slice(1).find((word) => !word.startsWith('-'))
  if (name !== undefined && !/.@[0-9]+\.[0-9]+\.[0-9]+/.test(name) && !isInstalled(name, directory)) report.warning(path, `the version of ${name} is not pinned: write ${name.replace(/(?<=.)@.*$/, '')}@1.2.3, so that only code you chose runs`)
}

/** What lies in a node_modules within reach is what runs, unless a version is asked for that it may not be. */
function isInstalled (spec: string, directory: string): boolean {
  const name = /^(@?[^@]+)(?:@[a-z][a-z0-9-]*)?$/i.exec(spec)?.[1]
  if (name === undefined) return false
  if (existsSync(join(directory, 'node_modules', name, 'package.json'))) return true
  return dirname(directory) !== directory && isInstalled(spec, dirname(directory))
}

function readEnv (raw: Readonly<Record<string, string>>, path: Path, isolation: string, around: Surroundings): Record<string, string> {
  const entries = Object.entries(raw)
  for (const [name] of entries) {
    if (hijacks(name)) around.report.problem([...path, name], `the variable ${name} changes which code a program runs, and may not be set here`, 'key')
  }
  return Object.fromEntries(entries.map(([name, value]) => [name, readText({ text: value, path: [...path, name] }, isolation, around)]))
}

function readCwd (raw: string | undefined, path: Path, { directory, report }: Surroundings): string | undefined {
  if (raw === undefined) return undefined
  if (raw.startsWith('~')) report.problem(path, '"~" is not expanded: write the full path')
  if (raw.includes('${')) report.problem(path, 'references are not replaced here: write the path')
  return resolve(directory, raw)
}

function readTimeouts (raw: NonNullable<RawUpstream['timeouts']>, path: Path, { report }: Surroundings): UpstreamSpec['timeouts'] {
  const read = (key: keyof typeof defaults.timeouts): number => {
    const value = parseDuration(raw[key] ?? defaults.timeouts[key])
    if (value < 1 || value > longest) report.problem([...path, key], `must be longer than 0 and at most 24d, got "${raw[key]}"`)
    return value
  }
  return { start: read('start'), call: read('call'), idle: read('idle') }
}
