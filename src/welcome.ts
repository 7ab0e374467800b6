import { resolve } from 'node:path'
import { shortcomings, unsandboxed } from './config/backend.ts'
import type { Config } from './config/config.ts'
import { sentenceOf, unpinnedIn } from './packages/unpinned.ts'

export interface Start {
  readonly firstAdmin: { readonly name: string, readonly generated: string | undefined } | undefined
  readonly sandboxProblems: readonly string[]
}

/** What a person reads when the gateway has started: where it is, how to get in, what to paste into a client. */
export function welcome ({ firstAdmin, sandboxProblems }: Start, config: Config): string {
  const { publicUrl } = config.server
  const upstreams = [...config.upstreams.keys()]
  const lines = [
    `Portcullis is up: ${publicUrl}/mcp`,
    `  upstreams   ${upstreams.join(', ')}   (one alone: ${publicUrl}/mcp/${upstreams[0] ?? '<name>'})`,
    `  database    ${config.databaseUrl === undefined ? `embedded, in ${config.data}` : 'DATABASE_URL'}`,
    `  metrics     http://${config.metrics.host}:${config.metrics.port}/metrics`,
    ...admin(firstAdmin),
    ...sandboxProblems.map((problem) => `\n  No sandbox, so upstreams are refused: ${problem}`),
    ...bare(unsandboxed(config)),
    ...unpinnedIn(config).running.map((each) => `\n  WARNING: ${sentenceOf(each)}`),
    ...weaker(config),
    '',
    'Connect a client:',
    `  npx portcullis token create --user admin --name my-client${elsewhere(config.file)}`,
    `  claude mcp add --transport http portcullis ${publicUrl}/mcp --header "Authorization: Bearer <token>"`,
    '  or, in a file of the mcpServers kind:',
    `  {"mcpServers":{"portcullis":{"type":"http","url":"${publicUrl}/mcp","headers":{"Authorization":"Bearer <token>"}}}}`,
  ]
  return `\n${lines.join('\n')}\n\n`
}

/** What a command needs so that it means this gateway, ready for a shell: nothing when it would find the file by itself. */
function elsewhere (file: string): string {
  if (file === resolve('upstreams.yaml')) return ''
  return ` --config ${/^[\w@%+=:,./-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`}`
}

function admin (first: Start['firstAdmin']): string[] {
  if (first === undefined) return []
  const password = first.generated === undefined ? 'the password of PORTCULLIS_ADMIN_PASSWORD' : `password ${first.generated}   (shown this once)`
  return ['', `  First start: user ${first.name}, ${password}`]
}

/** A backend that gives less than the default says what, at every start. */
function weaker (config: Config): string[] {
  return [...config.upstreams.values()].filter(({ remote, sandbox }) => remote === undefined && sandbox.mode !== 'none' && shortcomings[sandbox.mode].length > 0)
    .map(({ name, sandbox }) => `\n  ${name} is confined by ${sandbox.mode}. Under it, and not under bubblewrap, the server ${shortcomings[sandbox.mode].join('; ')}.`)
}

/** Never silent: a server without a sandbox can read and change whatever the gateway can. */
function bare (upstreams: readonly string[]): string[] {
  return upstreams.length === 0 ? [] : ['', `  WARNING: running WITHOUT a sandbox, with everything this machine's user may do: ${upstreams.join(', ')}`]
}
