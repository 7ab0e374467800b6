import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SandboxSpec } from '../config/config.ts'
import type { Usage } from './processes.ts'

/** What is to run, for whom nothing more needs to be known. */
export interface CellSpec {
  readonly upstream: string
  readonly command: readonly string[]
  /** Relative paths in the command, and npx packages, resolve from here. */
  readonly directory: string
  /** Working directory inside; must be part of what the cell sees. */
  readonly cwd?: string
  /** The whole environment beside PATH, HOME, TMPDIR, LANG, USER and LOGNAME, with its references resolved. */
  readonly env: Readonly<Record<string, string>>
  readonly sandbox: SandboxSpec
  /** What the program was installed into by the gateway: shown read-only, though it is the gateway's own. */
  readonly package?: string
  /** npx, uvx, uv and pipx may do their own work, which is to download a program. */
  readonly downloads?: boolean
  /** Socket of the proxy that is its only way to a network. */
  readonly egress?: string
  /** The gateway's own files and directories: never shown to an upstream. */
  readonly protect: readonly string[]
}

/** How a cell ended. `reason` is there when it was neither its own doing nor asked for; `detail` is a sentence for the operator. */
export interface Exit {
  readonly code: number | null
  readonly signal: string | null
  readonly reason?: 'memory' | 'processes' | 'sandbox'
  readonly detail?: string
}

/** One running upstream process and everything it started. Whoever spawned it stops it. */
export interface Cell {
  readonly pid: number
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  /** Resolves, and never rejects, when no process of the cell is left and its output has been read or given up. */
  readonly exited: Promise<Exit>
  /** Closes stdin, then asks (SIGTERM) after a third of the grace period, then kills at its end. Resolves when it is over. */
  stop (graceMs: number): Promise<void>
  /** Kills everything in it at once. */
  kill (): void
  usage (): Promise<Usage>
  /** What this backend does not hold it to, in words; absent when it holds it to everything. */
  readonly lacks?: readonly string[]
}

/** How one backend reaches into its cells. */
export interface Hold {
  /** Ends every process. Called once, and again after a while if some are left. */
  kill (insist: boolean): void
  /** Asks the upstream itself to end. */
  terminate (): void
  isEmpty (): boolean
  measure (): Usage
  /** Every process there is, by the host's number. */
  members (): readonly number[]
  /** What the exit of the outermost process means when nobody asked for it. */
  explain (code: number | null): Promise<Pick<Exit, 'reason' | 'detail'>>
}

/** The three pipes of a child that runs. */
export interface Pipes { readonly pid: number, readonly stdin: Writable, readonly stdout: Readable, readonly stderr: Readable }

/** The life of a cell, the same for every backend. */
export class ProcessCell implements Cell {
  readonly pid: number
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  readonly exited: Promise<Exit>
  readonly lacks?: readonly string[]
  readonly #hold: Hold
  #ended = false
  #verdict: Pick<Exit, 'reason' | 'detail'> = {}

  constructor (pipes: Pipes, child: ChildProcess, hold: Hold, lacks: readonly string[] = []) {
    if (lacks.length > 0) this.lacks = lacks
    this.pid = pipes.pid
    this.stdin = pipes.stdin
    this.stdout = pipes.stdout
    this.stderr = pipes.stderr
    this.#hold = hold
    this.stdin.on('error', () => {}) // EPIPE: the exit says it all
    this.exited = this.#waitForEnd(child)
  }

  async stop (graceMs: number): Promise<void> {
    if (graceMs > 0) {
      this.stdin.end()
      if (await this.#endsWithin(graceMs / 3)) return
      this.#hold.terminate()
      if (await this.#endsWithin(graceMs * 2 / 3)) return
    }
    this.kill()
    await this.exited
  }

  kill (): void {
    if (this.#ended) return
    this.#hold.kill(false)
    setTimeout(() => { if (!this.#ended) this.#hold.kill(true) }, insistAfterMs).unref()
  }

  /** Kills, and says in `exited` why. */
  end (reason: 'memory' | 'processes', detail: string): void {
    this.#verdict = { reason, detail }
    this.kill()
  }

  measure (): Usage {
    return this.#hold.measure()
  }

  members (): readonly number[] {
    return this.#hold.members()
  }

  usage (): Promise<Usage> {
    return Promise.resolve(this.measure())
  }

  async #waitForEnd (child: ChildProcess): Promise<Exit> {
    const [code, signal] = await once(child, 'exit') as [number | null, string | null]
    const meaning = await this.#hold.explain(code)
    await this.#clear()
    this.#ended = true
    await Promise.race([untilRead(this.stdout), sleep(outputGraceMs, undefined, { ref: false })])
    return { code, signal, ...meaning, ...this.#verdict }
  }

  /** What the outermost process left behind goes too. Bounded: where nobody reaps, the dead are still counted. */
  async #clear (): Promise<void> {
    for (let waited = 0; !this.#hold.isEmpty() && waited < clearMs; waited += lingerMs) {
      this.#hold.kill(true)
      await sleep(lingerMs)
    }
  }

  #endsWithin (milliseconds: number): Promise<boolean> {
    return Promise.race([this.exited.then(() => true), sleep(milliseconds, false)])
  }
}

const insistAfterMs = 500
const lingerMs = 5
const clearMs = 1_000
const outputGraceMs = 250

/** An answer may have been written just before the exit: let it be read first. */
async function untilRead (stream: Readable): Promise<void> {
  if (!stream.readableEnded && !stream.destroyed) await once(stream, 'close').catch(() => {})
}
