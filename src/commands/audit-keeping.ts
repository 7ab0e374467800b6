import type { Command } from 'commander'

import { connectPatiently } from '../../db/connect.ts'
import { parseDuration } from '../config/units.ts'
import { readCheckpointFiles } from '../ledger/checkpoint-file.ts'
import { signerOf } from '../ledger/checkpoint.ts'
import { archiveMonths } from '../ledger/keeping/archive-months.ts'
import { retain } from '../ledger/keeping/retain.ts'
import type { Vouchers } from '../ledger/keeping/verified.ts'
import { ledgerSeed, trustedKeys } from '../ledger/keys.ts'
import type { Finding } from '../ledger/verify/finding.ts'
import { createLogger } from '../log.ts'
import { here } from './audit-payload.ts'
import { mustOwn } from './must-own.ts'
import { collect } from './options.ts'
import { printable } from '../printable.ts'
import { sessionAction } from './session.ts'
import type { CommandContext, CommandSession } from './session.ts'
import { UsageError } from './usage-error.ts'

export type KeepingCommand = Pick<CommandSession, 'database' | 'ledger' | 'out'> & { readonly config: Pick<CommandSession['config'], 'data' | 'audit'> }

/** Adds `retain` and `archive` to `portcullis audit`. */
export function keepingCommands (audit: Command, context: CommandContext): void {
  const { configOption } = context
  audit.command('retain')
    .description('take out the months that are older than audit.retention; takes the owner of the database')
    .option('--older-than <duration>', 'such as 400d, instead of audit.retention')
    .option('--archive <directory>', 'archive each month there first, instead of audit.archive')
    .option('--key <file>', 'public key of another gateway on the same database (repeatable)', collect, [])
    .option('--despite-findings', 'take them out although they are not as they were written, and put on the record what was found')
    .addOption(configOption())
    .action(sessionAction(context, async (session, options: RetainCommandOptions) => await auditRetain(session, options)))
  audit.command('archive <directory>')
    .description('write every month that is over, and is not there yet, to a compressed and signed file')
    .option('--key <file>', 'public key of another gateway on the same database (repeatable)', collect, [])
    .addOption(configOption())
    .action(sessionAction(context, async (session, options: { key?: string[] }, directory) => await auditArchive(session, directory, options)))
}

export interface RetainCommandOptions {
  readonly olderThan?: string | undefined
  readonly archive?: string | undefined
  readonly key?: readonly string[] | undefined
  readonly despiteFindings?: boolean | undefined
}

/** `audit retain`. Returns the exit code: 1 when something stays that was to go. Throws an Error that says what to do. */
export async function auditRetain (command: KeepingCommand, { olderThan, archive, key = [], despiteFindings }: RetainCommandOptions, now: number = Date.now()): Promise<number> {
  const { database, config, ledger, out } = command
  const retention = olderThan === undefined ? config.audit.retention : parseDuration(olderThan)
  if (retention === undefined) throw new UsageError('The configuration has no audit.retention, so records stay. Say how old they may get: --older-than 400d')
  if (!(retention >= LEAST)) throw new UsageError(`--older-than ${JSON.stringify(olderThan)} is not a duration of at least 1d, such as 400d.`)
  await mustOwn(database, 'take records out of the ledger')
  const patient = connectPatiently(database.url, undefined)
  try {
    const { dropped, kept, findings } = await retain({
      ...vouchers(config.data, key),
      database: patient,
      ledger,
      data: config.data,
      signer: signerOf(ledgerSeed(config.data)),
      anchor: config.audit.anchor,
      before: new Date(now - retention),
      archive: archive ?? config.audit.archive,
      despite: despiteFindings === true,
      by: here(),
      log: createLogger({ level: 'error' }),
    })
    for (const { part, records, archive: file } of dropped) out(`${part.table}: ${records} records were taken out${file === undefined ? '' : `; they are in ${printable(file)}`}.\n`)
    if (kept !== undefined) out(`${kept.part.table} and what is later stay: hold ${kept.hold} keeps them.\n`)
    const stays = findings.length > 0 && despiteFindings !== true
    if (stays) out(`Nothing was taken out, because the ledger is not as it was written:\n${described(findings)}Look into it; \`--despite-findings\` takes them out all the same.\n`)
    else if (dropped.length === 0 && kept === undefined) out('No month is old enough yet.\n')
    return stays || kept !== undefined ? 1 : 0
  } finally {
    await patient.close()
  }
}

const LEAST = parseDuration('1d')

/** `audit archive`. Returns the exit code: 1 when nothing was written because the ledger is not as it was. */
export async function auditArchive ({ database, config, ledger, out }: KeepingCommand, directory: string, { key = [] }: { readonly key?: readonly string[] | undefined } = {}, now: number = Date.now()): Promise<number> {
  const patient = connectPatiently(database.url, undefined)
  try {
    const { files, findings } = await archiveMonths({ ...vouchers(config.data, key), database: patient, ledger, signer: signerOf(ledgerSeed(config.data)), directory, by: here(), now: new Date(now) })
    for (const file of files) out(`${printable(file)} was written.\n`)
    if (findings.length > 0) out(`Nothing was written, because the ledger is not as it was:\n${described(findings)}`)
    else if (files.length === 0) out('Every month that is over is there already.\n')
    return findings.length === 0 ? 0 : 1
  } finally {
    await patient.close()
  }
}

function vouchers (data: string, keyFiles: readonly string[]): Vouchers {
  return { keys: trustedKeys(data, keyFiles), sources: [{ name: 'The file of checkpoints', lines: readCheckpointFiles(data) }] }
}

function described (findings: readonly Finding[]): string {
  return findings.map(({ flaw, text }) => `  ${flaw.toUpperCase()}  ${printable(text)}\n`).join('')
}
