import { createWriteStream } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'

import { nextPage } from '../../../db/chain-rows.ts'
import { makeDirectory } from '../../../db/make-directory.ts'
import type { Part, Stretch } from '../../../db/retention.ts'
import type { Signer } from '../checkpoint.ts'
import { linkHash } from '../hash-chain.ts'
import { signManifest } from './manifest.ts'
import type { ArchivedChain } from './manifest.ts'

type Db = Parameters<typeof nextPage>[0]

/** The file of a partition in a directory of archives. */
export function archiveFile (directory: string, part: Part): string {
  return join(directory, `portcullis-ledger-${archiveName(part)}.jsonl.gz`)
}

/** A month; records of the default partition are known by the time of the last. */
function archiveName ({ table, end }: Part): string {
  return table === 'event_default' ? `until-${end.toISOString().slice(0, 19).replaceAll(':', '')}` : table.slice('event_'.length).replace('_', '-')
}

/**
 * Writes the records of a partition, which were verified, to a compressed file, on the device before this resolves; a
 * file of that name is replaced. Rejects, and leaves no file, when the records changed since. Returns its path.
 */
export async function writeArchive (db: Db, part: Part, stretches: readonly Stretch[], { directory, signer, time }: { readonly directory: string, readonly signer: Signer, readonly time: Date }): Promise<string> {
  makeDirectory(directory, 0o700, 'Name a directory that this user may make and write to.')
  const file = archiveFile(directory, part)
  const draft = `${file}.new`
  const manifest = signManifest(signer, { name: archiveName(part), made: time.toISOString(), chains: stretches.map(archived) })
  try {
    await pipeline(Readable.from(linesOf(db, manifest, stretches)), createGzip(), createWriteStream(draft, { mode: 0o600 }))
    await sync(draft)
    await rename(draft, file)
    await sync(directory)
    return file
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

function archived ({ chain, node, openedAt, before, beforeHash, last, lastHash }: Stretch): ArchivedChain {
  return { chain, node, opened: openedAt.toISOString(), from: { seq: before, hash: beforeHash.toString('hex') }, to: { seq: last, hash: lastHash.toString('hex') } }
}

const PAGE_ROWS = 2_000

/** Each record is its hash and its text, as they are in the database. */
async function * linesOf (db: Db, manifest: string, stretches: readonly Stretch[]): AsyncGenerator<string, void, undefined> {
  yield `${manifest}\n`
  for (const { chain, before, beforeHash, last, lastHash } of stretches) {
    let hash = beforeHash
    for (let seq = before; seq < last;) {
      const page = await nextPage(db, chain, seq, last, PAGE_ROWS)
      if (page === undefined) throw changed(chain)
      let text = ''
      let at = 0
      for (let n = 0; n < page.count; n++) {
        const end = page.texts.indexOf('\n', at)
        const record = page.texts.slice(at, end)
        hash = linkHash(hash, record)
        at = end + 1
        text += `${hash.toString('base64url')} ${record}\n`
      }
      seq += page.count
      yield text
    }
    if (!hash.equals(lastHash)) throw changed(chain)
  }
}

function changed (chain: string): Error {
  return new Error(`The records of chain ${chain} are not those that were verified: something changed them meanwhile. See \`portcullis audit verify\`.`)
}

async function sync (path: string): Promise<void> {
  const handle = await open(path, 'r')
  await handle.sync().finally(() => handle.close())
}
