import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { shortcomings } from '../config/backend.ts'
import { ProcessCell } from './cell.ts'
import type { Cell, CellSpec, Exit, Hold } from './cell.ts'
import { dockerOptions, environmentFile } from './docker-options.ts'
import { realGrant, realPath } from './grants.ts'
import { hintFor } from './hints.ts'
import type { Host } from './host.ts'
import { planMounts } from './mounts.ts'
import { checkEnvironment } from './plan.ts'
import { noUsage } from './processes.ts'
import type { Usage } from './processes.ts'
import type { Backend } from './proven.ts'
import { SandboxError } from './sandbox-error.ts'
import type { SelfTest } from './self-test.ts'
import { nobody } from './stage.ts'

/** A container for each cell, by the docker command line. Its engine is root: whoever may use it, may do anything on the host. */
export function dockerBackend (host: Host): Backend {
  return {
    spawn: async (spec) => await spawnContainer(spec, host),
    test: async () => await testEngine(host),
  }
}

const timeoutMs = 20_000
const seeDocs = 'docs/sandbox.md has the requirements.'

/** Whether an engine answers and filters system calls. What it does in a container is the engine's promise, not tried here. */
async function testEngine (host: Host): Promise<SelfTest> {
  try {
    const { stdout } = await promisify(execFile)(program(host), ['info', '--format', '{{.ServerVersion}} {{json .SecurityOptions}}'], { env: environment(host), timeout: timeoutMs })
    if (/^\d[^\n]*name=seccomp/.test(stdout)) return { ok: true }
    return { ok: false, reason: `The Docker engine does not filter system calls: it answers ${stdout.trim().slice(0, 200)}.`, hint: 'Use an engine with seccomp, which is the default.' }
  } catch (error) {
    if (error instanceof SandboxError) return { ok: false, reason: error.reason, hint: error.hint ?? seeDocs }
    const said = error instanceof Error && 'stderr' in error && typeof error.stderr === 'string' && error.stderr.trim() !== '' ? error.stderr : String(error)
    return { ok: false, reason: `The Docker engine does not answer: ${said.trim().split('\n').at(-1)?.slice(0, 300)}`, hint: hintFor(said) ?? seeDocs }
  }
}

async function spawnContainer (spec: CellSpec, host: Host): Promise<Cell> {
  checkEnvironment(spec.env)
  const { image } = spec.sandbox
  if (image === undefined) throw new SandboxError(`The upstream "${spec.upstream}" names no container image.`, 'Write sandbox: { mode: docker, image: … }')
  const secrets = { protect: spec.protect.map((path) => realPath(path) ?? path), home: host.home }
  const mounts = planMounts([], spec.sandbox.read.map((grant) => realGrant(grant, 'read', secrets)), spec.sandbox.write.map((grant) => realGrant(grant, 'write', secrets)))
  const name = `portcullis-${spec.upstream}-${randomUUID()}`
  const docker = program(host)
  const options = dockerOptions({ name, image, command: spec.command, cwd: spec.cwd, environment: '/dev/fd/3', mounts, user: owner(), sandbox: spec.sandbox })
  const variables = unlinkedFile(environmentFile(spec.env))
  const child = spawn(docker, options, { stdio: ['pipe', 'pipe', 'pipe', variables], env: environment(host), cwd: '/' })
  try {
    await once(child, 'spawn')
  } catch (error) {
    throw new SandboxError(`docker could not be started: ${error instanceof Error ? error.message : String(error)}.`, undefined, error)
  } finally {
    closeSync(variables)
  }
  const { stdin, stdout, stderr, pid } = child
  if (stdin === null || stdout === null || stderr === null || pid === undefined) throw new SandboxError('docker was started without pipes.')
  const hold = new ContainerHold(child, stderr, () => { spawn(docker, ['rm', '--force', name], { stdio: 'ignore', env: environment(host) }).on('error', () => {}) })
  return new ProcessCell({ pid, stdin, stdout, stderr: hold.stderr }, child, hold, shortcomings.docker)
}

/** A descriptor of a file that has no name any more: docker opens it anew through /dev/fd, which it could not do with a pipe of Node's. */
function unlinkedFile (content: string): number {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-docker-'))
  try {
    const file = join(folder, 'environment')
    writeFileSync(file, content, { mode: 0o600 })
    return openSync(file, 'r')
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function program (host: Host): string {
  const docker = host.tool('docker')
  if (docker === undefined) throw new SandboxError('docker is not installed, and an upstream names mode: docker.', 'Install the Docker command line and engine, or use mode: bubblewrap.')
  return docker
}

function environment ({ home }: Host): Record<string, string> {
  return { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: home }
}

/** Who writes into grants: the gateway's own user, or nobody where that is root. */
function owner (): typeof nobody {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
  return uid === 0 ? nobody : { uid, gid }
}

/** The gateway's hold on one container: the command line passes signals on, and the engine removes the container. */
class ContainerHold implements Hold {
  /** The stderr of the cell; its beginning is kept, for when the container does not come up. */
  readonly stderr = new PassThrough()
  readonly #cli: ChildProcess
  readonly #remove: () => void
  #complaint = ''
  #killed = false

  constructor (cli: ChildProcess, stderr: Readable, remove: () => void) {
    this.#cli = cli
    this.#remove = remove
    stderr.on('data', (chunk: Buffer) => { if (this.#complaint.length < maxComplaint) this.#complaint += chunk.toString('utf8') })
    stderr.pipe(this.stderr)
  }

  kill (insist: boolean): void {
    this.#killed = true
    this.#remove()
    if (insist) this.#cli.kill('SIGKILL')
  }

  terminate (): void {
    this.#cli.kill('SIGTERM')
  }

  isEmpty (): boolean {
    return this.#cli.exitCode !== null || this.#cli.signalCode !== null
  }

  /** The engine's processes are nobody's children here. */
  members (): readonly number[] {
    return []
  }

  measure (): Usage {
    return noUsage // they are the engine's, which holds them to their limits
  }

  /** docker ends with 125 when the container could not be made, and with the code of the command otherwise. */
  explain (code: number | null): Promise<Pick<Exit, 'reason' | 'detail'>> {
    if (code !== 125 || this.#killed) return Promise.resolve({})
    const complaint = this.#complaint.trim().split('\n')[0] ?? ''
    const hint = hintFor(this.#complaint)
    return Promise.resolve({ reason: 'sandbox', detail: `The container could not be made: ${complaint}${hint === undefined ? '' : ` ${hint}`}` })
  }
}

const maxComplaint = 2_048
