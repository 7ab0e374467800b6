import { dirname } from 'node:path'
import { spawnConfined } from './bubblewrap.ts'
import type { Cell, CellSpec } from './cell.ts'
import { realHost } from './host.ts'
import type { Host } from './host.ts'
import { SandboxError } from './sandbox-error.ts'
import { selfTest } from './self-test.ts'
import type { SelfTest } from './self-test.ts'
import { findTools } from './tools.ts'
import type { Tools } from './tools.ts'
import { spawnUnconfined } from './unconfined.ts'
import { Watchdog } from './watchdog.ts'

/** The only way to start an upstream. */
export interface Sandbox {
  readonly name: 'bubblewrap' | 'none'
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
export function openSandbox (mode: 'bubblewrap' | 'none', options: SandboxOptions): Sandbox {
  const path = options.path ?? `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`
  const host = options.host ?? realHost(path)
  if (mode === 'bubblewrap') return new Bubblewrap(host)
  if (!options.allowUnsandboxed) throw new SandboxError('An upstream asks for sandbox: none, which the gateway does not allow.', 'Take it out of upstreams.yaml, or start the gateway with --allow-unsandboxed.')
  return {
    name: 'none',
    selfTest: () => Promise.resolve({ ok: true }),
    spawn: async (spec) => await spawnUnconfined(requireMode(spec, 'none'), host, path),
  }
}

class Bubblewrap implements Sandbox {
  readonly name = 'bubblewrap'
  readonly #host: Host
  readonly #watchdog = new Watchdog()
  #tools: Promise<Tools> | undefined
  #tested: Promise<SelfTest> | undefined

  constructor (host: Host) {
    this.#host = host
  }

  selfTest ({ again = false } = {}): Promise<SelfTest> {
    if (again) this.#forget()
    this.#tested ??= this.#test()
    return this.#tested
  }

  async spawn (spec: CellSpec): Promise<Cell> {
    requireMode(spec, 'bubblewrap')
    const tested = await this.selfTest()
    if (!tested.ok) throw new SandboxError(tested.reason, tested.hint)
    return await this.#spawn(spec)
  }

  async #test (): Promise<SelfTest> {
    const result = await selfTest((spec) => this.#spawn(spec))
    if (!result.ok) this.#forget()
    return result
  }

  async #spawn (spec: CellSpec): Promise<Cell> {
    if (process.platform !== 'linux') throw new SandboxError(`Upstreams can only be sandboxed on Linux, and this is ${process.platform}.`, 'Run the gateway in a Linux container or virtual machine.')
    this.#tools ??= findTools(this.#host.tool)
    return await spawnConfined(spec, await this.#tools, this.#host, this.#watchdog)
  }

  #forget (): void {
    this.#tools = undefined
    this.#tested = undefined
  }
}

function requireMode (spec: CellSpec, mode: 'bubblewrap' | 'none'): CellSpec {
  if (spec.sandbox.mode !== mode) throw new SandboxError(`The upstream "${spec.upstream}" asks for sandbox: ${spec.sandbox.mode}, and was about to be started with ${mode}.`)
  return spec
}
