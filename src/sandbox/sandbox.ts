import { dirname } from 'node:path'
import type { SandboxMode } from '../config/config.ts'
import { bubblewrapBackend } from './bubblewrap.ts'
import type { Cell, CellSpec } from './cell.ts'
import { dockerBackend } from './docker.ts'
import { realHost } from './host.ts'
import type { Host } from './host.ts'
import { landlockBackend } from './landlock.ts'
import { Proven } from './proven.ts'
import type { Backend } from './proven.ts'
import { SandboxError } from './sandbox-error.ts'
import { seatbeltBackend } from './seatbelt.ts'
import type { SelfTest } from './self-test.ts'
import { spawnUnconfined } from './unconfined.ts'

/** The only way to start an upstream. */
export interface Sandbox {
  readonly name: SandboxMode
  /** Whether cells confine on this machine. A success is remembered unless `again` is asked for; a failure never is. */
  selfTest (options?: { again?: boolean }): Promise<SelfTest>
  /**
   * Starts the command in a cell of its own.
   * @throws SandboxError, whose message is for the operator, when it cannot be started or could not be confined
   */
  spawn (spec: CellSpec): Promise<Cell>
}

export interface SandboxOptions {
  /** The operator accepts upstreams without a sandbox (`--allow-unsandboxed`). */
  readonly allowUnsandboxed: boolean
  /** Where programs are looked up: the gateway's PATH. */
  readonly path?: string
  /** Stands in for the machine, in tests. */
  readonly host?: Host
}

/**
 * The sandbox that the config asks for, and never another one.
 * @throws SandboxError for `none` unless it is allowed
 */
export function openSandbox (mode: SandboxMode, options: SandboxOptions): Sandbox {
  const path = options.path ?? `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`
  const host = options.host ?? realHost(path)
  if (mode !== 'none') return new Proven(mode, backends[mode](host))
  if (!options.allowUnsandboxed) throw new SandboxError('An upstream asks for sandbox: none, which the gateway does not allow.', 'Take it out of upstreams.yaml, or start the gateway with --allow-unsandboxed.')
  return new Proven('none', { spawn: async (spec) => await spawnUnconfined(spec, host, path), test: () => Promise.resolve({ ok: true }) })
}

const backends: Readonly<Record<Exclude<SandboxMode, 'none'>, (host: Host) => Backend>> = {
  bubblewrap: bubblewrapBackend,
  landlock: landlockBackend,
  docker: dockerBackend,
  seatbelt: seatbeltBackend,
}
