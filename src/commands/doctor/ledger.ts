import { accessSync, constants, existsSync, readFileSync, readdirSync, statSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../../config/config.ts'
import { readCheckpoint } from '../../ledger/checkpoint.ts'
import { newestCheckpoint } from '../../ledger/checkpoint-file.ts'
import { trustedKeys } from '../../ledger/keys.ts'
import { listSegments } from '../../ledger/segment.ts'
import type { Standing } from '../../readiness.ts'
import { ago, failed, guarded, mebibytes, ok, warning } from './finding.ts'
import type { Finding } from './finding.ts'

/** Where records wait for the database: can it be written, how much waits, for how long does it last? */
export async function checkSpool ({ data, audit }: Pick<Config, 'data' | 'audit'>, standing: Standing | undefined): Promise<Finding[]> {
  return await guarded('spool', () => {
    const directory = join(data, 'ledger')
    accessSync(directory, constants.W_OK)
    const { bavail, bsize } = statfsSync(directory)
    const free = bavail * bsize
    const used = readdirSync(directory).reduce((sum, name) => sum + (statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0), 0)
    const { lagRecords: records, leftMs } = standing?.ledger ?? { lagRecords: countRecords(directory), leftMs: undefined }
    const by = standing === undefined ? 'doctor' : 'gateway'
    const facts = `${directory} can be written, holds ${mebibytes(used)} of at most ${mebibytes(audit.spoolMax)}, with ${mebibytes(free)} free on the disk; ${records} records wait for the database.`
    if (leftMs !== undefined) return [warning('spool', `${facts} The database takes none: calls are refused in ${ago(leftMs)}.`, 'Bring the database back.', { by })]
    if (free < audit.spoolMax - used) return [warning('spool', facts, 'Make room on the disk: with less than audit.spool_max it is full before its time.', { by })]
    return [ok('spool', facts, { by })]
  }, 'The gateway has to be able to write there: without records no call is forwarded.')
}

/** The newest signature over the record. */
export async function checkChain (data: string): Promise<Finding[]> {
  return await guarded('audit', () => {
    const line = newestCheckpoint(data)
    if (line === '') return [ok('audit', 'No head of a chain has been signed yet.')]
    const checkpoint = readCheckpoint(line, trustedKeys(data, []))
    if (checkpoint?.status !== 'signed') return [failed('audit', `The newest checkpoint in ${data} is not signed by the key of this directory (${checkpoint?.status ?? 'unreadable'}).`, 'Run `portcullis audit verify`: somebody has changed it, or keys of another gateway lie here.')]
    return [ok('audit', `The newest checkpoint was signed ${ago(Date.now() - Date.parse(checkpoint.time))} ago, over record ${checkpoint.seq} of chain ${checkpoint.chain}. Whether nothing was changed since says \`portcullis audit verify\`.`)]
  }, 'Run `portcullis audit verify`.')
}

/** Records in the files; those of a gateway that runs are partly in the database already, and it knows better. */
function countRecords (directory: string): number {
  if (!existsSync(directory)) return 0
  return listSegments(directory, () => {}).reduce((sum, { path, start }) => sum + readFileSync(path).subarray(start).reduce((lines, byte) => byte === 10 ? lines + 1 : lines, 0), 0)
}
