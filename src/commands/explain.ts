import { Command } from 'commander'

import type { Target } from '../call.ts'
import { loadConfig } from '../config/config.ts'
import { didYouMean } from '../config/nearest.ts'
import type { RoleSpec } from '../config/config.ts'
import { findUser } from '../identity/users.ts'
import { replay, unlimited } from '../ledger/replay.ts'
import type { Change } from '../ledger/replay.ts'
import { compilePolicy } from '../policy/policy.ts'
import { readChoice, readTime } from './options.ts'
import { jsonOf, printable } from '../printable.ts'
import { sessionAction } from './session.ts'
import type { CommandContext, CommandSession } from './session.ts'
import { table } from './table.ts'
import { UsageError } from './usage-error.ts'

/** `portcullis explain …` */
export function explainCommand (context: CommandContext): Command {
  const { configOption, env } = context
  return new Command('explain')
    .argument('[user]')
    .argument('[target]', 'such as files/read_file')
    .option('--args <json>', 'the arguments of the call')
    .option('--kind <kind>', 'tool, prompt or resource (default tool)')
    .option('--policy <file>', 'judge by the roles of this file instead of the configuration')
    .option('--replay <time>', 'judge every call recorded since then: 7d, or a date')
    .option('--json', 'for scripts')
    .addOption(configOption())
    .action(sessionAction(context, async (session, { policy, ...options }: ExplainOptions & { policy?: string }, ...[user, target]: (string | undefined)[]) => {
      const { roles, upstreams } = policy === undefined ? session.config : loadConfig(env, { file: policy, allowUnsandboxed: true })
      const command = { ...session, roles, upstreams }
      if (options.replay !== undefined) return await explainReplay(command, options.replay, options)
      if (user === undefined || target === undefined) throw new UsageError('Say whom and what: portcullis explain USER UPSTREAM/NAME, or portcullis explain --replay 7d --policy FILE.')
      return await explainCall(command, user, target, options)
    }))
}

export type ExplainSession = Pick<CommandSession, 'database' | 'out'> & { readonly roles: ReadonlyMap<string, RoleSpec> }

/** The same, and which upstreams there are. */
export type ExplainCallSession = ExplainSession & { readonly upstreams: ReadonlyMap<string, unknown> }

export interface ExplainOptions {
  readonly args?: string | undefined
  readonly kind?: string | undefined
  readonly replay?: string | undefined
  readonly json?: boolean | undefined
}

/** `explain USER TARGET`: the decision, and every rule on the way to it. Returns the exit code: 1 when it is a no. */
export async function explainCall ({ database, roles, upstreams, out }: ExplainCallSession, name: string, target: string, { args, kind, json }: ExplainOptions = {}): Promise<number> {
  const user = await findUser(database.db, name)
  const slash = target.indexOf('/')
  if (slash < 1) throw new UsageError(`${JSON.stringify(target)} is not like files/read_file: an upstream, a slash, and a name.`)
  const asked: Target = { kind: readChoice('--kind', kind, ['tool', 'prompt', 'resource']) as Target['kind'] | undefined ?? 'tool', upstream: target.slice(0, slash), name: target.slice(slash + 1) }
  const policy = compilePolicy(roles)
  const { decision, steps } = args === undefined ? policy.explain(unlimited(user), asked) : policy.explain(unlimited(user), asked, readArgs(args))
  const depends = args === undefined && decision.allowed && policy.depends(unlimited(user), asked)
  const unknown = !upstreams.has(asked.upstream)
  if (json === true) out(`${jsonOf({ user: user.name, target, ...decision, depends, unknown, steps })}\n`)
  else {
    out(`${user.name} ${decision.allowed ? 'may' : 'may not'} use ${printable(target)}${depends ? ' with some arguments, which --args tells' : ''}: ${decision.rule}\n`)
    if (unknown) out(`There is no upstream ${printable(JSON.stringify(asked.upstream))}${didYouMean(asked.upstream, upstreams.keys()) || '.'}\n`)
    if (steps.length > 0) out(table(['', 'RULE', 'LINE', 'WHY'], steps.map(({ rule, effect, applies, line, reason }) => [applies ? effect : '–', rule, String(line ?? ''), reason])))
  }
  return decision.allowed ? 0 : 1
}

/** `explain --replay TIME`: what was recorded, judged by these roles. Returns the exit code. */
export async function explainReplay ({ database, roles, out }: ExplainSession, time: string, { json }: ExplainOptions = {}, now: number = Date.now()): Promise<number> {
  const since = readTime('--replay', time, now) ?? new Date(now)
  const { changes, calls, undecided, gone } = await replay(database, compilePolicy(roles), since)
  if (json === true) {
    out(`${jsonOf({ since, calls, undecided, gone, changes })}\n`)
    return 0
  }
  for (const change of ['newly denied', 'newly allowed'] as const) {
    const some = changes.filter(found => found.change === change)
    if (some.length > 0) out(`${change}\n${table(['USER', 'WHAT', 'CALLS', 'BEFORE', 'NOW', 'NEWEST RECORD'], some.map(cellsOf))}\n`)
  }
  out(`${calls} calls since ${since.toISOString()} were judged again${changes.length === 0 ? ': nothing would change' : ''}.\n`)
  if (undecided > 0) out(`Of ${undecided} the arguments decide, and the record does not have them whole.\n`)
  if (gone > 0) out(`${gone} are of users who are gone.\n`)
  return 0
}

function cellsOf ({ user, target, calls, before, after, record }: Change): string[] {
  return [user, target, String(calls), before ?? '', after, record].map(printable)
}

function readArgs (text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new UsageError('--args is not JSON. Quote it for the shell: --args \'{"path":"/data/a"}\'', { cause: error })
  }
}
