import type { Config } from '../config/config.ts'
import type { Ending } from '../egress/connection.ts'
import type { Verdict } from '../egress/decide.ts'
import type { Host } from '../sandbox/host.ts'
import { installedTarget } from '../sandbox/npx.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { SandboxError } from '../sandbox/sandbox-error.ts'
import { lockFileOf, readPin, writePin } from './lock-file.ts'
import { npmRegistry } from './npm.ts'
import { pinOf } from './pin.ts'
import type { Pin } from './pin.ts'
import { pypiRegistry } from './pypi.ts'
import type { Registry } from './registry.ts'
import { Store } from './store.ts'
import { isOfHost, toolSettings, unpinned } from './unpinned.ts'
import type { Unpinned } from './unpinned.ts'
import { nameOf, readWanted } from './wanted.ts'
import type { Wanted } from './wanted.ts'
import { discard, openWorkshop } from './workshop.ts'
import type { Workshop } from './workshop.ts'

export interface PackagesParts {
  readonly config: Config
  readonly host: Host
  readonly sandbox: Sandbox
  /** Before a connection to a registry is made; when it fails, none is. */
  readonly egress: (upstream: string, verdict: Verdict) => Promise<(ending: Ending) => void>
  /** Something was pinned for the first time. */
  readonly pinned: (upstream: string, pin: Pin) => void
}

/** How a command that names a package is run: from what was installed before, or, unpinned, as it is written. */
export interface Program {
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** What must be visible for it; undefined when it downloads its program by itself. */
  readonly folder: string | undefined
  /** Why nothing says what it downloads; undefined when something does. */
  readonly unpinned: Unpinned | undefined
}

/** The packages of upstreams: pinned in a lock file, installed in a sandbox of their own, and never changed unasked. */
export class Packages {
  /** The lock file. */
  readonly file: string
  readonly #parts: PackagesParts
  readonly #store: Store
  readonly #registries: Readonly<Record<Wanted['registry'], Registry>>
  readonly #installing = new Map<string, Promise<string>>()
  readonly #life = new AbortController()

  constructor (parts: PackagesParts) {
    const { config, host } = parts
    this.#parts = parts
    this.file = lockFileOf(config.file)
    this.#store = new Store(config.data)
    this.#registries = { npm: npmRegistry(config.packages, host), pypi: pypiRegistry(config.packages, host) }
  }

  /** What a command would have downloaded; undefined when it names no package, one that is installed beside the configuration, or one of an image. */
  wanted (upstream: string, command: readonly string[]): Wanted | undefined {
    const spec = this.#parts.config.upstreams.get(upstream)
    if (spec === undefined || !isOfHost(spec)) return undefined
    const wanted = readWanted(command)
    if (wanted?.registry !== 'npm') return wanted
    return installedTarget(command.slice(1), this.#parts.config.directory, this.#parts.host) === undefined ? wanted : undefined
  }

  /** The same command, where its package cannot be pinned. @throws SandboxError where it may reach no host either, and is refused */
  unpinned (upstream: string, command: readonly string[]): Unpinned | undefined {
    const { config } = this.#parts
    const spec = config.upstreams.get(upstream)
    return spec === undefined ? undefined : unpinned(spec, command, config.packages)
  }

  /**
   * How the command of an upstream is run; undefined when it names no package. The first time a package is wanted it is
   * chosen, installed and pinned; from then on it is what the lock file says.
   * @throws SandboxError when it is not what was approved, or cannot be installed
   */
  async program (upstream: string, command: readonly string[]): Promise<Program | undefined> {
    const open = this.unpinned(upstream, command)
    if (open !== undefined) return { command, env: toolSettings(this.#parts.config.packages), folder: undefined, unpinned: open }
    const wanted = this.wanted(upstream, command)
    if (wanted === undefined) return undefined
    const folder = await this.#folder(upstream, wanted)
    return { ...this.#registries[wanted.registry].command(wanted, folder), folder, unpinned: undefined }
  }

  /** The pin that is in force for an upstream, and the one that the registry would give now. Nothing is installed or written. */
  async compare (upstream: string, wanted: Wanted): Promise<{ readonly current: Pin | undefined, readonly proposed: Pin }> {
    const current = readPin(this.file, upstream)
    return { current, proposed: await this.#resolve(upstream, wanted) }
  }

  /** Installs what a pin says and puts it in force. */
  async approve (upstream: string, wanted: Wanted, pin: Pin): Promise<void> {
    await this.#install(upstream, wanted, pin)
    writePin(this.file, upstream, pin)
  }

  /** Ends what is being installed. Idempotent. */
  async close (): Promise<void> {
    this.#life.abort(new SandboxError('The gateway is stopping.'))
    await Promise.allSettled(this.#installing.values())
  }

  #folder (upstream: string, wanted: Wanted): Promise<string> {
    const key = `${upstream} ${nameOf(wanted)}`
    let folder = this.#installing.get(key)
    if (folder === undefined) {
      folder = this.#find(upstream, wanted).finally(() => this.#installing.delete(key))
      this.#installing.set(key, folder)
    }
    return folder
  }

  async #find (upstream: string, wanted: Wanted): Promise<string> {
    const pin = readPin(this.file, upstream)
    if (pin !== undefined && pin.wanted !== nameOf(wanted)) {
      throw new SandboxError(`upstreams.${upstream} asks for ${nameOf(wanted)}, and ${this.file} has ${pin.wanted} (version ${pin.version}) approved.`, `See what would change with portcullis pin ${upstream}, and approve it with portcullis pin ${upstream} --approve.`)
    }
    if (pin !== undefined) return this.#store.find(pin.digest) ?? await this.#install(upstream, wanted, pin)
    const first = await this.#resolve(upstream, wanted)
    await this.approve(upstream, wanted, first)
    this.#parts.pinned(upstream, first)
    return await this.#install(upstream, wanted, first)
  }

  async #resolve (upstream: string, wanted: Wanted): Promise<Pin> {
    return await this.#work(upstream, wanted, `${nameOf(wanted)} could not be looked up.`, async (workshop) => {
      return pinOf(nameOf(wanted), wanted.name, await this.#registries[wanted.registry].resolve(wanted, workshop))
    })
  }

  async #install (upstream: string, wanted: Wanted, pin: Pin): Promise<string> {
    const found = this.#store.find(pin.digest)
    if (found !== undefined) return found
    const why = `${nameOf(wanted)} could not be installed as ${this.file} has it (version ${pin.version}, ${pin.digest.slice(0, 19)}…).`
    return await this.#work(upstream, wanted, why, async (workshop) => {
      await this.#registries[wanted.registry].install(pin, workshop)
      return this.#store.keep(pin.digest, workshop.folder)
    })
  }

  async #work<T> (upstream: string, wanted: Wanted, why: string, task: (workshop: Workshop) => Promise<T>): Promise<T> {
    const { config, sandbox, egress } = this.#parts
    this.#store.prepare()
    const workshop = openWorkshop({ parent: this.#store.root, sandbox, upstream, directory: config.directory, record: (verdict) => egress(upstream, verdict), signal: this.#life.signal })
    try {
      return await task(workshop)
    } catch (error) {
      const said = error instanceof SandboxError ? error.reason : error instanceof Error ? error.message : String(error)
      throw new SandboxError(`${why} ${said}`, error instanceof SandboxError && error.hint !== undefined ? error.hint : adviceOn(said, upstream, wanted), error)
    } finally {
      discard(workshop.folder)
    }
  }
}

/** What to do, by what the tools of registries say. */
function adviceOn (said: string, upstream: string, { registry }: Wanted): string {
  if (/EINTEGRITY|DO NOT MATCH THE HASHES/i.test(said)) return `The registry delivers something else than was approved: find out why. If it is right, run portcullis pin ${upstream} --approve.`
  if (/E404|No matching distribution|ETARGET/i.test(said)) return `Check the name and the version in upstreams.${upstream}.command; packages.${registry} says which registry is asked.`
  if (/EAI_AGAIN|ECONN|ENOTFOUND|403|502|timed out|timeout|proxy/i.test(said)) return `Is the registry reachable from here? packages: in upstreams.yaml names another one, and grants private addresses. portcullis audit search --kind egress --upstream ${upstream} shows what was refused.`
  return 'docs/sandbox.md says how packages are installed.'
}
