import { Command } from 'commander'
import { inSession } from './session.ts'
import type { CommandContext } from './session.ts'
import { createToken, listTokens, revokeToken } from './token.ts'

interface Common { readonly config?: string }

/** `portcullis token …` */
export function tokenCommands (context: CommandContext): Command {
  const { configOption } = context
  const token = new Command('token')
  token.command('create')
    .description('create a token and print it once')
    .requiredOption('--name <name>', 'what the token is for, for example the client and machine')
    .option('--user <name>', 'whose token it is')
    .option('--scope <pattern>', 'limit it to what matches upstream/tool (repeatable)', (value: string, before: string[] | undefined) => [...before ?? [], value])
    .option('--expires <time>', 'lifetime such as 30d, 12w or 1y (default 90d)')
    .option('--json', 'for scripts')
    .addOption(configOption())
    .action(async ({ config, scope, ...options }: Common & { name: string, user?: string, scope?: string[], expires?: string, json?: boolean }) => {
      await inSession(context, config, async (session) => await createToken(session, { ...options, scopes: scope }))
    })
  token.command('list').description('list tokens').option('--user <name>', 'of this user only').option('--json', 'for scripts').addOption(configOption())
    .action(async ({ config, ...options }: Common & { user?: string, json?: boolean }) => await inSession(context, config, async (session) => await listTokens(session, options)))
  token.command('revoke <id>').description('end a token; refused everywhere within a second').addOption(configOption())
    .action(async (id: string, { config }: Common) => await inSession(context, config, async (session) => await revokeToken(session, id)))
  return token
}
