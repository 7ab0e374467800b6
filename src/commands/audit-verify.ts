import { readFileSync } from 'node:fs'

import { readAnchor } from '../ledger/anchor.ts'
import { signerOf } from '../ledger/checkpoint.ts'
import { linesOf, readCheckpointFiles } from '../ledger/checkpoint-file.ts'
import { ledgerSeed, readKeys, trustedKeys } from '../ledger/keys.ts'
import { checkProof, proveRecord } from '../ledger/proof.ts'
import type { Source } from '../ledger/verify/evidence.ts'
import { verifyLedger } from '../ledger/verify/verify.ts'
import type { Config } from '../config/config.ts'
import type { AuditCommand } from './audit.ts'
import { readTime } from './options.ts'
import { printable } from './printable.ts'

type VerifyCommand = AuditCommand & { readonly config: Pick<Config, 'data'> }

export interface VerifyOptions {
  readonly since?: string | undefined
  /** Address of an anchor, or a file of checkpoints. */
  readonly anchor?: string | undefined
  /** Files with public keys of other gateways. */
  readonly key?: readonly string[] | undefined
  readonly json?: boolean | undefined
}

/** `audit verify`: is everything as it was written? Returns the exit code: 1 when something is not. */
export async function auditVerify ({ database, out, config }: VerifyCommand, { since, anchor, key = [], json }: VerifyOptions, now: number = Date.now()): Promise<number> {
  const sources: Source[] = [{ name: 'The file of checkpoints', lines: readCheckpointFiles(config.data) }]
  if (anchor !== undefined) sources.push({ name: 'The anchor', lines: await readFrom(anchor) })
  const verified = await verifyLedger({ database, keys: trustedKeys(config.data, key), sources, since: readTime('--since', since, now) })
  const { findings, chains, records, checkpoints, unsigned } = verified
  if (json === true) out(`${JSON.stringify({ intact: findings.length === 0, ...verified })}\n`)
  else {
    for (const { flaw, chain, node, text } of findings) out(`${flaw.toUpperCase()}  ${printable(node)} ${printable(chain)}\n    ${printable(text)}\n`)
    out(`${findings.length === 0 ? 'Intact' : 'NOT INTACT'}: ${records} records of ${chains} chains were read, ${checkpoints} signatures compared.\n`)
    if (unsigned > 0) out(`${unsigned} of the newest records are not signed yet.\n`)
  }
  return findings.length === 0 ? 0 : 1
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
