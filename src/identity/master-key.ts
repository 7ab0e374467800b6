import { hkdfSync, randomBytes } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'

import { makeDirectory } from '../../db/make-directory.ts'
import { open, seal } from './seal.ts'

/** The one secret that is not in the database; everything else that must stay secret is sealed under it. */
export interface MasterKey {
  readonly file: string
  /** A 256-bit key of its own for each purpose (HKDF-SHA256): one purpose never reveals another. */
  deriveKey (purpose: string): Buffer
  /** AES-256-GCM under the purpose's key. `label` must be given again to open. */
  seal (purpose: string, label: string, plain: Buffer): Buffer
  /** Throws when the bytes were changed, or sealed under another master key, purpose or label. */
  open (purpose: string, label: string, sealed: Buffer): Buffer
}

/** Reads `<data>/keys/master.key`, creating it (0600) at the first start. Of several processes that start at once, all get the same key. */
export function openMasterKey (data: string): MasterKey {
  const directory = join(data, 'keys')
  const file = join(directory, 'master.key')
  if (!existsSync(file)) create(directory, file)
  const secret = read(file)
  const deriveKey = (purpose: string): Buffer => Buffer.from(hkdfSync('sha256', secret, 'portcullis', purpose, 32))
  return {
    file,
    deriveKey,
    seal: (purpose, label, plain) => seal(deriveKey(purpose), label, plain),
    open: (purpose, label, sealed) => open(deriveKey(purpose), label, sealed),
  }
}

/** Written whole beside its name and then linked, so that nobody ever reads half a key. */
function create (directory: string, file: string): void {
  makeDirectory(directory, 0o700, 'Set PORTCULLIS_DATA to a directory that this user may make and write to.')
  const draft = join(directory, `.master.${process.pid}.${randomBytes(4).toString('hex')}`)
  const descriptor = openSync(draft, 'wx', 0o600)
  try {
    writeSync(descriptor, `${randomBytes(32).toString('base64url')}\n`)
    fsyncSync(descriptor)
    linkSync(draft, file)
    syncDirectory(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    closeSync(descriptor)
    rmSync(draft, { force: true })
  }
}

/** Without this a power cut can take the new name with it, and every sealed key is lost. */
function syncDirectory (directory: string): void {
  const descriptor = openSync(directory, 'r')
  try { fsyncSync(descriptor) } finally { closeSync(descriptor) }
}

function read (file: string): Buffer {
  const { mode } = statSync(file)
  if (process.platform !== 'win32' && (mode & 0o027) !== 0) {
    throw new Error(`${file} can be read by others (mode ${(mode & 0o777).toString(8)}). Run: chmod 600 ${file}`)
  }
  const secret = Buffer.from(readFileSync(file, 'utf8').trim(), 'base64url')
  if (secret.length !== 32) throw new Error(`${file} does not hold a master key (32 bytes, base64url). Restore it from a backup; with a new one every sealed key is lost.`)
  return secret
}
