import type { KeyObject } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'

import { linkHash } from '../hash-chain.ts'
import type { Finding, Flaw } from '../verify/finding.ts'
import { readManifest } from './manifest.ts'
import type { ArchivedChain, Manifest } from './manifest.ts'

export interface CheckedArchive {
  readonly file: string
  /** Undefined: it does not say what it holds. */
  readonly manifest: Manifest | undefined
  readonly records: number
  /** The first thing that is wrong; undefined: it is as it was written. */
  readonly finding: Finding | undefined
}

/** Reads an archive from beginning to end and says what was changed in it. Rejects when there is no such file. */
export async function checkArchive (file: string, keys: ReadonlyMap<string, KeyObject>): Promise<CheckedArchive> {
  const progress: Progress = { records: 0, manifest: undefined }
  try {
    return { file, finding: await read(file, keys, progress), ...progress }
  } catch (error) {
    if (!isDamage(error)) throw error
    return { file, finding: flaw(file, 'cut off', `the file is damaged after record ${progress.records}, or its end is missing`), ...progress }
  }
}

interface Progress { records: number, manifest: Manifest | undefined }

async function read (file: string, keys: ReadonlyMap<string, KeyObject>, progress: Progress): Promise<Finding | undefined> {
  const lines = linesOf(file)
  const first = await lines.next()
  const manifest = first.done === true ? undefined : readManifest(first.value, keys)
  if (manifest === undefined) return flaw(file, 'bad signature', 'it does not begin as `portcullis audit archive` writes it')
  progress.manifest = manifest
  if (manifest.status === 'unknown key') return flaw(file, 'unknown key', `it was signed with the key ${manifest.key}; if that is the key of another gateway of yours, name its public key with --key`)
  if (manifest.status === 'bad signature') return flaw(file, 'bad signature', 'its signature is wrong: what it says of itself was changed')
  for (const chain of manifest.chains) {
    const finding = await follow(file, chain, lines, progress)
    if (finding !== undefined) return finding
  }
  return (await lines.next()).done === true ? undefined : flaw(file, 'added', 'there are records behind the last that was signed for')
}

async function follow (file: string, chain: ArchivedChain, lines: AsyncGenerator<string, void, undefined>, progress: Progress): Promise<Finding | undefined> {
  let hash: Buffer = Buffer.from(chain.from.hash, 'hex')
  for (let seq = chain.from.seq + 1; seq <= chain.to.seq; seq++) {
    const line = await lines.next()
    if (line.done === true) return flaw(file, 'cut off', `the records from ${seq} to ${chain.to.seq} are missing`, chain, seq)
    const space = line.value.indexOf(' ')
    hash = linkHash(hash, line.value.slice(space + 1))
    if (hash.toString('base64url') !== line.value.slice(0, space)) return flaw(file, 'edited', `record ${seq} was changed, removed or moved: its text does not fit its hash`, chain, seq)
    progress.records++
  }
  return hash.toString('hex') === chain.to.hash ? undefined : flaw(file, 'rewritten', `its records do not lead to record ${chain.to.seq} as it was signed: they were written anew`, chain, chain.from.seq + 1)
}

async function * linesOf (file: string): AsyncGenerator<string, void, undefined> {
  const unzipped = createGunzip()
  // Whatever fails on the way, `unzipped` is destroyed with it.
  pipeline(createReadStream(file), unzipped, () => {})
  let rest = ''
  for await (const chunk of unzipped.setEncoding('utf8') as AsyncIterable<string>) {
    const lines = `${rest}${chunk}`.split('\n')
    rest = lines.pop() ?? ''
    yield * lines
  }
  if (rest !== '') yield rest
}

function isDamage (error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^Z_/.test(String(error.code))
}

function flaw (file: string, kind: Flaw, what: string, chain?: ArchivedChain, seq?: number): Finding {
  return { flaw: kind, chain: chain?.chain ?? '', node: chain?.node ?? '', seq, text: `Archive ${basename(file)}: ${what}.` }
}
