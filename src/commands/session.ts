import type { Option } from 'commander'
import { openDatabase } from '../../db/connect.ts'
import type { Database } from '../../db/connect.ts'
import { loadConfig } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import type { Audit } from '../identity/audit.ts'
import { auditIdentity } from '../ledger/identity-events.ts'
import { ledgerSeed } from '../ledger/keys.ts'
import { openLedger } from '../ledger/ledger.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { createLogger } from '../log.ts'

/** What every group of commands is given. */
export interface CommandContext {
  readonly env: NodeJS.ProcessEnv
  readonly out: (text: string) => void
  readonly configOption: () => Option
}

/** A command's hands: the configuration, the database, and the record of what it does. */
export interface CommandSession {
  readonly config: Config
  readonly database: Database
  readonly audit: Audit
  readonly ledger: Ledger
  readonly out: (text: string) => void
}

/**
 * Runs `work` with the database open and closes it afterwards. What a command changes is on the record before the
 * command ends, in a chain of its own beside the running gateway's.
 */
export async function inSession ({ env, out }: CommandContext, file: string | undefined, work: (session: CommandSession) => Promise<void>): Promise<void> {
  const config = loadConfig(env, { file, allowUnsandboxed: true })
  const log = createLogger({ level: 'error' })
  const database = await openDatabase({ url: config.databaseUrl, data: config.data, log })
  try {
    const ledger = openLedger({ data: config.data, database, seed: ledgerSeed(config.data), audit: config.audit, log })
    await work({ config, database, ledger, out, audit: auditIdentity(ledger) }).finally(() => ledger.close())
  } finally {
    await database.close()
  }
}

/** What commander calls for a command that works in a session: its arguments, then its options. `work` may return the exit code. */
export function sessionAction<Options extends object> (context: CommandContext, work: (session: CommandSession, options: Options, ...args: [string, ...string[]]) => Promise<number | void>): (...given: unknown[]) => Promise<void> {
  return async (...given) => {
    const [options, args] = [given.at(-2) as Options & { readonly config?: string }, given.slice(0, -2) as [string, ...string[]]]
    await inSession(context, options.config, async (session) => {
      const code = await work(session, options, ...args)
      if (typeof code === 'number') process.exitCode = code
    })
  }
}
