import type { SandboxMode } from '../config/config.ts'
import type { Cell, CellSpec } from './cell.ts'
import type { Sandbox } from './sandbox.ts'
import { SandboxError } from './sandbox-error.ts'
import type { SelfTest } from './self-test.ts'

/** One way to confine a process. */
export interface Backend {
  /** @throws SandboxError */
  spawn (spec: CellSpec): Promise<Cell>
  /** Tries on this very machine whether it confines. Never throws, and looks everything up anew. */
  test (): Promise<SelfTest>
}

/** A backend that starts nothing before its self-test has passed. */
export class Proven implements Sandbox {
  readonly name: SandboxMode
  readonly #backend: Backend
  #tested: Promise<SelfTest> | undefined

  constructor (name: SandboxMode, backend: Backend) {
    this.name = name
    this.#backend = backend
  }

  selfTest ({ again = false } = {}): Promise<SelfTest> {
    if (again) this.#tested = undefined
    this.#tested ??= this.#test()
    return this.#tested
  }

  async spawn (spec: CellSpec): Promise<Cell> {
    const asked = spec.sandbox.mode
    if (asked !== this.name) throw new SandboxError(`The upstream "${spec.upstream}" asks for sandbox: ${asked}, and was about to be started with ${this.name}.`)
    const tested = await this.selfTest()
    if (!tested.ok) throw new SandboxError(tested.reason, tested.hint)
    return await this.#backend.spawn(spec)
  }

  async #test (): Promise<SelfTest> {
    const result = await this.#backend.test()
    if (!result.ok) this.#tested = undefined
    return result
  }
}
