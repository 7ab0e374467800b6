import { createHash } from 'node:crypto'
import { chmodSync, existsSync, lchownSync, lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SandboxError } from '../sandbox/sandbox-error.ts'
import { discard } from './workshop.ts'

/** What was installed, each in a folder named by the digest of its pin. */
export class Store {
  readonly root: string
  /** Folders that were looked at since this process began. */
  readonly #sound = new Set<string>()

  constructor (data: string) {
    this.root = join(data, 'packages')
  }

  /** Makes the place, so that something can be installed. */
  prepare (): void {
    mkdirSync(this.root, { recursive: true, mode: 0o755 })
  }

  /**
   * The folder of what is pinned by this digest; undefined when it is not installed.
   * @throws SandboxError when it is not what was installed any more
   */
  find (digest: string): string | undefined {
    const folder = join(this.root, digest)
    if (this.#sound.has(folder)) return folder
    if (!existsSync(folder)) return undefined
    if (sealOf(folder) !== readSeal(folder)) throw new SandboxError(`What was installed in ${folder} has been changed since.`, 'Find out by whom. Then remove the folder: it is installed anew from the lock file.')
    this.#sound.add(folder)
    return folder
  }

  /** Takes over what was installed in a workshop: read-only from now on, owned by the gateway. */
  keep (digest: string, workshop: string): string {
    const folder = join(this.root, digest)
    discard(join(workshop, '.tmp'))
    own(workshop)
    writeFileSync(sealFile(folder), sealOf(workshop))
    discard(folder)
    renameSync(workshop, folder)
    this.#sound.add(folder)
    return folder
  }
}

function sealFile (folder: string): string {
  return `${folder}.seal`
}

function readSeal (folder: string): string {
  return existsSync(sealFile(folder)) ? readFileSync(sealFile(folder), 'utf8') : ''
}

/** Nobody but the gateway may write here, and everybody may read: cells of a root gateway run as another user. */
function own (path: string): void {
  const stats = lstatSync(path)
  const { getuid, getgid } = process
  if (getuid !== undefined && getgid !== undefined && stats.uid !== getuid()) lchownSync(path, getuid(), getgid())
  if (stats.isSymbolicLink()) return
  chmodSync(path, stats.isDirectory() ? 0o755 : (stats.mode & 0o100) === 0 ? 0o644 : 0o755)
  if (stats.isDirectory()) for (const name of readdirSync(path)) own(join(path, name))
}

/** One digest of every name, mode, link and byte below a folder. */
function sealOf (folder: string): string {
  const hash = createHash('sha256')
  const add = (path: string, name: string): void => {
    const stats = lstatSync(path)
    hash.update(`${name}\0${stats.mode.toString(8)}\0`)
    if (stats.isDirectory()) for (const entry of readdirSync(path).sort()) add(join(path, entry), `${name}/${entry}`)
    else hash.update(stats.isSymbolicLink() ? readlinkSync(path) : createHash('sha256').update(readFileSync(path)).digest())
  }
  add(folder, '')
  return hash.digest('hex')
}
