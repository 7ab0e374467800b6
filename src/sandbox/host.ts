import { closeSync, openSync, readFileSync, readSync, realpathSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname } from 'node:path'
import { isExecutable, lookupOn } from './tools.ts'
import type { Lookup } from './tools.ts'

/** What command resolution may ask of the machine: reads only, and never throws. */
export interface Host {
  /** Programs that upstreams name. */
  readonly lookup: Lookup
  /** The programs that build cells: the system's own come first. */
  readonly tool: Lookup
  readonly home: string
  /** The node that runs the gateway; what `node` means in a command. */
  readonly node: string
  kind (path: string): 'file' | 'directory' | 'other' | undefined
  isExecutable (path: string): boolean
  /** The path without symbolic links; undefined when there is nothing. */
  real (path: string): string | undefined
  /** The whole file as text; undefined when it cannot be read. */
  text (path: string): string | undefined
  /** The first line of a script, `#!` included; undefined for anything else. */
  shebang (path: string): string | undefined
}

/** The machine the gateway runs on; programs are looked up along `path`. */
export function realHost (path: string): Host {
  return { lookup: lookupOn(path), tool: lookupOn(`/usr/bin:${path}`), home: homedir(), node: process.execPath, kind, isExecutable, real, text, shebang }
}

/** The same, along the directories of the system where there is no `path`. */
export function hostOn (path: string | undefined): Host {
  return realHost(path ?? `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`)
}

/** A directory and everything above it, nearest first. */
export function ancestors (directory: string): string[] {
  const parent = dirname(directory)
  return parent === directory ? [directory] : [directory, ...ancestors(parent)]
}

function kind (path: string): 'file' | 'directory' | 'other' | undefined {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return undefined
  return stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other'
}

function real (path: string): string | undefined {
  return attempt(() => realpathSync(path))
}

function text (path: string): string | undefined {
  return attempt(() => readFileSync(path, 'utf8'))
}

function shebang (path: string): string | undefined {
  return attempt(() => {
    const descriptor = openSync(path, 'r')
    try {
      const head = Buffer.alloc(256)
      const line = head.toString('utf8', 0, readSync(descriptor, head)).split('\n')[0]
      return line?.startsWith('#!') === true ? line.trim() : undefined
    } finally {
      closeSync(descriptor)
    }
  })
}

function attempt<T> (read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
