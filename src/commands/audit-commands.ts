import { Command } from 'commander'
import { loadConfig } from '../config/config.ts'
import { auditSearch, auditShow, auditTail } from './audit.ts'
import type { SearchOptions } from './audit.ts'
import { exportCommands } from './audit-export.ts'
import { holdCommands } from './audit-hold.ts'
import { keepingCommands } from './audit-keeping.ts'
import { payloadCommands } from './audit-payload.ts'
import { auditKey, auditProve, auditVerify, verifyArchives, verifyProof } from './audit-verify.ts'
import type { VerifyOptions } from './audit-verify.ts'
import { collect } from './options.ts'
import { inSession } from './session.ts'
import type { CommandContext } from './session.ts'

interface Common { readonly config?: string }

/** `portcullis audit …` */
export function auditCommands (context: CommandContext): Command {
  const { configOption } = context
  const audit = new Command('audit')
  audit.command('tail')
    .description('the newest attempts')
    .option('-n, --lines <count>', 'how many (default 20)')
    .option('-f, --follow', 'go on printing what comes in')
    .option('--json', 'one JSON object a line')
    .addOption(configOption())
    .action(async ({ config, ...options }: Common & { lines?: string, follow?: boolean, json?: boolean }) => {
      const signal = untilInterrupted()
      await inSession(context, config, async (session) => { process.exitCode = await auditTail(session, { ...options, signal }) })
    })
  audit.command('search')
    .description('attempts that match, newest first')
    .option('--user <name>', 'of this user')
    .option('--upstream <name>', 'to this upstream')
    .option('--tool <name>', 'of this tool, prompt or resource')
    .option('--kind <kind>', 'of this kind: call, refusal, login, token, user, upstream, …')
    .option('--outcome <outcome>', 'ok, tool_error, error, timeout, cancelled, crashed, refused or unknown')
    .option('--decision <decision>', 'allow or deny')
    .option('--code <code>', 'of a refusal, such as PORTCULLIS_RATE_LIMITED, of an upstream\'s error, such as -32602, or of the system\'s, such as ECONNREFUSED')
    .option('--since <time>', 'such as 2h, 7d or 2026-01-31T12:00Z')
    .option('--until <time>', 'likewise')
    .option('--text <text>', 'in the arguments, in any case, from the beginning of a word on')
    .option('--limit <count>', 'at most so many (default 100)')
    .option('--json', 'one JSON object a line')
    .addOption(configOption())
    .action(async ({ config, ...options }: Common & SearchOptions) => {
      await inSession(context, config, async (session) => { process.exitCode = await auditSearch(session, options) })
    })
  audit.command('show <record>')
    .description('everything about one attempt')
    .option('--json', 'for scripts')
    .addOption(configOption())
    .action(async (record: string, { config, ...options }: Common & { json?: boolean }) => {
      await inSession(context, config, async (session) => { process.exitCode = await auditShow(session, record, options) })
    })
  exportCommands(audit, context)
  payloadCommands(audit, context)
  keepingCommands(audit, context)
  holdCommands(audit, context)
  return withProofs(audit, context)
}

/** What an auditor needs to know that nothing was changed. */
function withProofs (audit: Command, context: CommandContext): Command {
  const { configOption, env, out } = context
  audit.command('verify')
    .description('prove that nothing was edited, removed, moved or cut off')
    .option('--since <time>', 'take what was signed before as it was signed: 7d or 2026-01-31')
    .option('--anchor <place>', 'compare with the signatures kept at this address, or in this file')
    .option('--archive <place>', 'an archive, or a directory of archives: they and the ledger must have every record (repeatable)', collect, [])
    .option('--key <file>', 'public key of another gateway on the same database (repeatable)', collect, [])
    .option('--json', 'for scripts')
    .addOption(configOption())
    .action(async ({ config, ...options }: Common & VerifyOptions) => {
      await inSession(context, config, async (session) => { process.exitCode = await auditVerify(session, options) })
    })
  audit.command('prove <record>')
    .description('print a proof about one record that needs no database')
    .addOption(configOption())
    .action(async (record: string, { config }: Common) => {
      await inSession(context, config, async (session) => { process.exitCode = await auditProve(session, record) })
    })
  audit.command('verify-proof <file>')
    .description('check such a proof')
    .requiredOption('--key <file>', 'public key, as `audit key` prints it (repeatable)', collect)
    .action((file: string, { key }: { key: string[] }) => { process.exitCode = verifyProof(file, key, out) })
  audit.command('verify-archive <files...>')
    .description('check archives without a database')
    .requiredOption('--key <file>', 'public key, as `audit key` prints it (repeatable)', collect)
    .action(async (files: string[], { key }: { key: string[] }) => { process.exitCode = await verifyArchives(files, key, out) })
  audit.command('key')
    .description('print the public key of this gateway\'s signatures')
    .addOption(configOption())
    .action(({ config }: Common) => auditKey(loadConfig(env, { file: config, allowUnsandboxed: true }).data, out))
  return audit
}

/** Ctrl-C ends a following tail properly, so that what was opened is closed. */
function untilInterrupted (): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort())
  return controller.signal
}
