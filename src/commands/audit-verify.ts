import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { chainRows } from '../../db/chain-rows.ts'
import type { Database } from '../../db/connect.ts'
import { recordedGaps } from '../../db/recorded-gaps.ts'
import type { RecordedGap } from '../../db/recorded-gaps.ts'
import { readAnchor } from '../ledger/anchor.ts'
import { signerOf } from '../ledger/checkpoint.ts'
import { linesOf, readCheckpointFiles } from '../ledger/checkpoint-file.ts'
import { checkArchive } from '../ledger/keeping/check-archive.ts'
import type { CheckedArchive } from '../ledger/keeping/check-archive.ts'
import { findGaps } from '../ledger/keeping/covered.ts'
import { ledgerSeed, readKeys, trustedKeys } from '../ledger/keys.ts'
import { checkProof, proveRecord } from '../ledger/proof.ts'
import type { Source } from '../ledger/verify/evidence.ts'
import { verifyLedger } from '../ledger/verify/verify.ts'
import type { Config } from '../config/config.ts'
import type { AuditCommand } from './audit.ts'
import { readTime } from './options.ts'
import { printable } from '../printable.ts'

type VerifyCommand = AuditCommand & { readonly database: Pick<Database, 'db' | 'url'>, readonly config: Pick<Config, 'data'> }

export interface VerifyOptions {
  readonly since?: string | undefined
  /** Address of an anchor, or a file of checkpoints. */
  readonly anchor?: string | undefined
  /** Files with public keys of other gateways. */
  readonly key?: readonly string[] | undefined
  /** Archives, or directories of them. */
  readonly archive?: readonly string[] | undefined
  readonly json?: boolean | undefined
}

/** `audit verify`: is everything as it was written? Returns the exit code: 1 when something is not. */
export async function auditVerify ({ database, out, config }: VerifyCommand, { since, anchor, key = [], archive = [], json }: VerifyOptions, now: number = Date.now()): Promise<number> {
  const sources: Source[] = [{ name: 'The file of checkpoints', lines: readCheckpointFiles(config.data) }]
  if (anchor !== undefined) sources.push({ name: 'The anchor', lines: await readFrom(anchor) })
  const keys = trustedKeys(config.data, key)
  const verified = await verifyLedger({ database, keys, sources, since: readTime('--since', since, now) })
  const archives = await checkAll(archive.flatMap(filesIn), keys)
  const gaps = archive.length === 0 ? [] : findGaps(await chainRows(database.db), archives)
  const findings = [...verified.findings, ...archives.flatMap(({ finding }) => finding ?? []), ...gaps]
  const { chains, records, checkpoints, unsigned } = verified
  const unrecorded = await recordedGaps(database.db)
  if (json === true) out(`${JSON.stringify({ intact: findings.length === 0, ...verified, unrecorded, archives: archives.map(({ file, records }) => ({ file, records })), findings })}\n`)
  else {
    for (const { flaw, chain, node, text } of findings) out(`${flaw.toUpperCase()}  ${printable(node)} ${printable(chain)}\n    ${printable(text)}\n`)
    out(`${findings.length === 0 ? 'Intact' : 'NOT INTACT'}: ${records} records of ${chains} chains were read, ${checkpoints} signatures compared.\n`)
    if (archive.length > 0) out(archiveLine(archives))
    for (const gap of unrecorded) out(gapLine(gap))
    if (unsigned > 0) out(`${unsigned} of the newest records are not signed yet.\n`)
  }
  return findings.length === 0 ? 0 : 1
}

/** What was allowed and is no flaw, but what an auditor has to know. */
function gapLine ({ record, calls, since, until }: RecordedGap): string {
  const what = calls === undefined ? 'Calls' : `${calls} ${calls === 1 ? 'call' : 'calls'}`
  const when = since === undefined || until === undefined ? ', nobody knows when,' : ` from ${printable(since)} to ${printable(until)}`
  return `${what} went on without a record of their own${when} as audit.on_failure allows: portcullis audit show ${printable(record)}\n`
}

/** `audit verify-archive`: needs neither a database nor a configuration. Returns the exit code: 1 when one is not as it was written. */
export async function verifyArchives (files: readonly string[], keyFiles: readonly string[], out: (text: string) => void): Promise<number> {
  const archives = await checkAll(files, readKeys(keyFiles))
  for (const { finding } of archives) if (finding !== undefined) out(`${finding.flaw.toUpperCase()}  ${printable(finding.text)}\n`)
  out(archiveLine(archives))
  return archives.every(({ finding }) => finding === undefined) ? 0 : 1
}

async function checkAll (files: readonly string[], keys: ReturnType<typeof readKeys>): Promise<CheckedArchive[]> {
  const checked: CheckedArchive[] = []
  for (const file of files) checked.push(await checkArchive(file, keys))
  return checked
}

function filesIn (place: string): string[] {
  return statSync(place).isDirectory() ? readdirSync(place).filter(name => name.endsWith('.jsonl.gz')).sort().map(name => join(place, name)) : [place]
}

function archiveLine (archives: readonly CheckedArchive[]): string {
  const bad = archives.filter(({ finding }) => finding !== undefined).length
  return `${archives.length} archives with ${archives.reduce((sum, { records }) => sum + records, 0)} records were read, ${bad === 0 ? 'all of them as they were written' : `${bad} of them NOT INTACT`}.\n`
}

/** `audit prove`: a proof of each thing that was written under a record id, as one JSON document. */
export async function auditProve ({ database, out, config }: VerifyCommand, record: string): Promise<number> {
  out(`${JSON.stringify({ proofs: await proveRecord(database, record, trustedKeys(config.data, [])) }, null, 2)}\n`)
  return 0
}

/** `audit key`: the public key of this data directory, as PEM. */
export function auditKey (data: string, out: (text: string) => void): void {
  out(signerOf(ledgerSeed(data)).publicKey.export({ format: 'pem', type: 'spki' }).toString())
}

/** `audit verify-proof`: needs neither a database nor a configuration. Returns the exit code: 1 when a proof does not hold. */
export function verifyProof (file: string, keyFiles: readonly string[], out: (text: string) => void): number {
  const keys = readKeys(keyFiles)
  const document = JSON.parse(readFileSync(file, 'utf8')) as { proofs?: unknown }
  if (!Array.isArray(document.proofs) || document.proofs.length === 0) throw new Error(`${file} holds no proofs as \`portcullis audit prove\` prints them.`)
  const checked = document.proofs.map(proof => checkProof(proof, keys))
  for (const { problem, text, node, time, key } of checked) {
    out(problem === undefined ? `Proven: signed by ${printable(node)} at ${printable(time)} with the key ${key}.\n    ${printable(text)}\n` : `NOT PROVEN: ${problem}.\n`)
  }
  return checked.every(({ problem }) => problem === undefined) ? 0 : 1
}

async function readFrom (anchor: string): Promise<string[]> {
  return /^https?:\/\//.test(anchor) ? await readAnchor(anchor) : linesOf(readFileSync(anchor, 'utf8'))
}
