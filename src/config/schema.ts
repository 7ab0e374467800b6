import Type from 'typebox'
import type { Static } from 'typebox'

import { identitySchema } from './schema-identity.ts'
import { choice, count, duration, list, mapping, record, registryAddress, size, text } from './shapes.ts'
import { durationPattern, periodNames } from './units.ts'

/**
 * The shape of upstreams.yaml, once: the validator, the types and the JSON Schema for editors come from here.
 * `title` is what a value is called in an error ("must be <title>"); `default` is what holds when the key is absent.
 */
export type RawConfig = Static<typeof configSchema>
export type RawUpstream = RawConfig['upstreams'][string]
export type RawRole = NonNullable<RawConfig['roles']>[string]
export type RawRule = NonNullable<RawRole['allow']>[number]
export type RawLimit = NonNullable<RawConfig['limits']>[number]

/** What a server may ask of clients when the configuration does not say. */
const asks: readonly ('elicitation' | 'sampling' | 'roots')[] = ['elicitation']

export const defaults = {
  isolation: 'user',
  asks,
  timeouts: { start: '30s', call: '60s', idle: '10m' },
  sandbox: { mode: 'bubblewrap', memory: '512MiB', processes: 64, file_size: '256MiB', open_files: 1024, tmp: '64MiB', nice: 0 },
  guards: { max_arguments: '1MiB', max_result: '16MiB' },
  instances: { total: 500, per_upstream: 500, per_user: 64 },
  health: { every: '30s', probe: true },
  audit: { arguments: 'redacted', durability: 'fsync', on_failure: 'deny', max_outage: '5s', spool_max: '256MiB', checkpoint_every: '60s' },
  payload_max: '64KiB',
  sink: { format: 'ndjson', max_lag: '15m', on_lag: 'wait' },
  server: { max_body: '4MiB' },
  oauth: { registration: true, client_documents: 'off' },
} as const

const timeouts = mapping({}, {
  start: duration('How long the server may take to start and answer its first message.', defaults.timeouts.start),
  call: duration('How long one call may take.', defaults.timeouts.call),
  idle: duration('After how long without a call an instance is stopped.', defaults.timeouts.idle),
}, 'a mapping with start, call and idle', 'How long things may take.')

const sandbox = Type.Union([
  Type.Literal('none', { description: 'No sandbox. Refused unless the gateway is started with --allow-unsandboxed.' }),
  mapping({}, {
    mode: choice(['bubblewrap', 'landlock', 'docker', 'seatbelt', 'none'], 'What confines the server. Never chosen for you: docs/sandbox.md says what the others do not give. "none" is refused unless the gateway is started with --allow-unsandboxed.', defaults.sandbox.mode),
    image: text('the name of a container image', 'The image that the command runs in, with mode: docker. It is never downloaded by the gateway.'),
    read: grants('What the server may read.'),
    write: grants('What the server may read and write.'),
    network: Type.Union([
      Type.Literal('none', { description: 'No network.' }),
      list(text('a host such as api.example.com, or host:port'), { minItems: 1 }),
    ], { title: '"none", or a list of hosts', default: 'none', description: 'What the server may reach, through the gateway\'s proxy: host (port 443), host:port, or *.host.' }),
    private: list(text('a range such as 10.0.0.0/8'), { description: 'Private addresses the hosts of network may have. Without it they may only have public ones.' }),
    memory: size('Memory of all processes of the server together.', defaults.sandbox.memory),
    processes: count(1, 4096, 'How many processes and threads the server may have.', defaults.sandbox.processes),
    file_size: size('The largest file the server may write.', defaults.sandbox.file_size),
    open_files: count(16, 1_048_576, 'How many files a process may hold open.', defaults.sandbox.open_files),
    tmp: size('Size of the private /tmp and of the private home directory.', defaults.sandbox.tmp),
    nice: count(0, 19, 'How far the server stands back when others want the processor too: 0 not at all, 19 furthest.', defaults.sandbox.nice),
  }, 'a mapping of grants and limits'),
], { title: '"none" or a mapping of grants and limits', description: 'What the server may touch. Without this key it sees its own package, a private /tmp and no network.' })

const upstream = mapping({}, {
  command: Type.Union([
    Type.String({ title: 'a command line' }),
    list(text('text'), { minItems: 1 }),
  ], { title: 'a command line, or a list of the program and its arguments', description: 'What to run: one line (quotes are respected, there is no shell) or a list. A package of npx, uvx or pipx run is installed and pinned before it runs.' }),
  url: Type.String({ title: 'an address such as https://mcp.example.com/mcp', description: 'A remote server instead of a command: where it is reached, by Streamable HTTP or HTTP+SSE.' }),
  headers: record("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", 'the name of a header', text('text'), {
    description: 'Sent with every request to the remote server: the gateway\'s own credentials, never those of a client. ${env:NAME}, ${secret:NAME}, ${user.name} and ${user.id} are replaced.', // eslint-disable-line no-template-curly-in-string
  }),
  private: list(text('a range of addresses such as 10.0.0.0/8'), { description: 'Private addresses that the name in url may have.' }),
  args: list(text('text'), { description: 'More arguments, appended to command (as mcpServers entries have them).' }),
  type: Type.Enum(['stdio', 'http', 'streamable-http', 'sse'], { title: 'one of stdio, http, streamable-http, sse', description: 'Accepted so that mcpServers entries can be pasted; which of its transports a remote server speaks is found out.' }),
  env: record('^[A-Za-z_][A-Za-z0-9_]*$', 'an environment variable name (letters, digits and _)', text('text'), {
    description: 'The environment of the server; it inherits none. ${env:NAME}, ${secret:NAME}, ${user.name} and ${user.id} are replaced.', // eslint-disable-line no-template-curly-in-string
  }),
  cwd: Type.String({ title: 'a directory', minLength: 1, description: 'Working directory, as the server sees it.' }),
  isolation: choice(['user', 'session', 'shared'], 'Who shares one process of this server: nobody but its user, one session, or everybody.', defaults.isolation),
  asks: list(Type.Enum(['elicitation', 'sampling', 'roots'], { title: 'one of elicitation, sampling, roots' }), {
    uniqueItems: true, default: [...asks], description: 'What the server may ask of the client in the middle of a call: its user (elicitation), its model (sampling), its directories (roots). When the key is given and not empty, calls take turns, so that every question finds its call.',
  }),
  sandbox,
  timeouts,
}, 'a mapping with at least "command" or "url"')

const rule = Type.Union([
  text('a pattern such as "files/read_*"'),
  mapping({}, {
    tool: text('a pattern such as "files/read_*"', 'Tools this rule is about: upstream/tool, with * as a wildcard.'),
    prompt: text('a pattern such as "docs/*"', 'Prompts this rule is about: upstream/prompt.'),
    resource: text('a pattern such as "docs/file:///srv/*"', 'Resources this rule is about: upstream/URI.'),
    where: text('a CEL expression', 'A CEL expression over args, principal, tool and upstream; the rule holds where it is true.'),
  }, 'a mapping with one of tool, prompt or resource'),
], { title: 'a pattern such as "files/read_*", or a mapping with tool, prompt or resource' })

const role = mapping({}, {
  allow: list(rule, { description: 'What holders of this role may use. What no rule allows is denied.' }),
  deny: list(rule, { description: 'What they may not use, whatever allows it.' }),
}, 'a mapping with allow and deny')

const limit = mapping({
  calls: count(1, 1_000_000_000, 'How many calls.'),
  per: Type.Union([Type.Enum(periodNames), Type.String({ pattern: durationPattern })], { title: 'second, minute, hour, day or a duration such as 30s', description: 'In which time.' }),
}, {
  by: list(Type.Enum(['user', 'tool', 'upstream', 'role', 'address'], { title: 'one of user, tool, upstream, role, address' }), {
    minItems: 1, uniqueItems: true, default: ['user'], description: 'What is counted apart: with [user, tool] every user has this many calls of every tool.',
  }),
  tool: text('a pattern such as "github/create_*"', 'Which calls count: upstream/tool, with * as a wildcard. All when absent.'),
}, 'a mapping with calls, per and by')

const pattern = mapping({
  name: Type.String({ title: 'a name of letters, digits and hyphens', pattern: '^[A-Za-z0-9][A-Za-z0-9-]{0,63}$', description: 'What the refusal and the audit record call it.' }),
  pattern: text('an RE2 pattern', 'A regular expression in RE2 syntax (no lookaround, no backreferences), searched in every text of the arguments.'),
}, {
  in: Type.Literal('arguments', { title: '"arguments"', default: 'arguments', description: 'What is searched.' }),
  tool: text('a pattern such as "files/write_*"', 'Which tools it guards: upstream/tool. All when absent.'),
}, 'a mapping with name and pattern')

const server = mapping({}, {
  hosts: list(text('a host name, or host:port'), { description: 'Further names this gateway is reached by, beside PUBLIC_URL and the loopback names.' }),
  origins: list(text('an origin such as https://app.example.com'), { description: 'Web pages whose scripts may call this gateway.' }),
  max_body: size('The largest request body.', defaults.server.max_body),
}, 'a mapping')

const guards = mapping({}, {
  defaults: Type.Boolean({ title: 'true or false', default: true, description: 'Whether the deny patterns that ship with Portcullis apply.' }),
  deny: list(pattern, { description: 'Further patterns: a call whose arguments match one is refused.' }),
  max_arguments: size('The largest arguments of one call.', defaults.guards.max_arguments),
  max_result: size('The largest result of one call.', defaults.guards.max_result),
}, 'a mapping')

const instances = mapping({}, {
  total: count(1, 100_000, 'Processes of all upstreams.', defaults.instances.total),
  per_upstream: count(1, 100_000, 'Processes of one upstream.', defaults.instances.per_upstream),
  per_user: count(1, 100_000, 'Processes of one user.', defaults.instances.per_user),
}, 'a mapping with total, per_upstream and per_user')

const packages = mapping({}, {
  npm: registryAddress('The npm registry that npx packages are installed from. Absent: where npm goes by itself.'),
  pypi: registryAddress('The index that uvx and pipx packages are installed from. Absent: where pip goes by itself.'),
  hosts: list(text('a host such as files.example.com, or host:port'), { description: 'Further hosts that deliver the archives of these registries.' }),
  private: list(text('a range such as 10.0.0.0/8'), { description: 'Private addresses that the registries may have.' }),
}, 'a mapping')

const health = mapping({}, {
  every: duration('How often an upstream that is in use is asked for its tool list; one that is not, ten times less often.', defaults.health.every),
  probe: Type.Boolean({ title: 'true or false', default: defaults.health.probe, description: 'Whether an upstream that is not in use is started to see whether its tool list answers.' }),
  required: list(text('the name of an upstream'), { description: 'Upstreams without which /readyz says that the gateway is not ready. Absent: none.' }),
}, 'a mapping with every, probe and required')

const payload = mapping({
  keep: choice(['none', 'digest', 'redacted', 'full'], 'What is kept: nothing, a digest, the text without secrets, or the text as it was.', 'none'),
}, {
  tool: text('a pattern such as "files/write_*"', 'Of which tools, prompts and resources: upstream/name. All when absent.'),
  max: size('How much is kept of the arguments, and of the result.', defaults.payload_max),
}, 'a mapping with keep')

const sink = mapping({
  url: Type.String({ title: 'an http://, https://, syslog+tcp:// or syslog+tls:// address', pattern: '^(https?|syslog\\+(tcp|tls))://', description: 'Where every attempt goes: a POST of many lines, or syslog (RFC 5424).' }),
}, {
  format: choice(['ndjson', 'ocsf', 'cef'], 'How an attempt is written.', defaults.sink.format),
  token_file: text('a file', 'A file whose text is sent as bearer token.'),
  max_lag: duration('How long the sink may be behind before on_lag counts.', defaults.sink.max_lag),
  on_lag: choice(['wait', 'deny'], 'What a sink that is behind means for calls: nothing, or that they are refused until it has caught up.', defaults.sink.on_lag),
}, 'a mapping with url')

const onFailure = Type.Union([
  Type.Literal('deny', { description: 'Every call is refused.' }),
  mapping({
    allow: list(text('a pattern such as "files/read_*"'), { minItems: 1, description: 'Tools whose calls go on, counted, if the server itself says that they only read (readOnlyHint): upstream/tool, with * as a wildcard.' }),
  }, {}, 'a mapping with allow'),
], { title: '"deny", or { allow: [upstream/tool, …] }', default: defaults.audit.on_failure, description: 'What becomes of a call that cannot be recorded.' })

const audit = mapping({}, {
  arguments: choice(['none', 'digest', 'redacted', 'full'], 'What a record keeps of the arguments of a call.', defaults.audit.arguments),
  durability: choice(['fsync', 'os', 'database'], 'When a record counts as written: on the disk, handed to the operating system, or committed in the database.', defaults.audit.durability),
  on_failure: onFailure,
  payloads: list(payload, { description: 'Of which calls arguments and results are kept, encrypted under a key of the caller\'s that can be destroyed. The first entry that matches counts.' }),
  sinks: list(sink, { description: 'Where attempts go as they happen, beside the database.' }),
  redact: list(text('the name of an argument'), { description: 'Further argument names, or paths such as $.customer.email, whose values are never recorded.' }),
  max_outage: duration('How long calls go on while the database is away; the records wait on the disk.', defaults.audit.max_outage),
  spool_max: size('How much may wait on the disk.', defaults.audit.spool_max),
  checkpoint_every: duration('How long records may lie in the database before a signature covers them.', defaults.audit.checkpoint_every),
  retention: duration('How long records are kept; what is older goes, whole months at a time. Absent: for ever.'),
  archive: text('a directory', 'Where every month is archived before retention takes it out.'),
  anchor: Type.String({ title: 'an http:// or https:// address', pattern: '^https?://', description: 'A place outside the reach of whoever runs the database: takes each signed head as a POST, and gives them all back for a GET, one a line.' }),
}, 'a mapping')

const oauth = mapping({}, {
  registration: Type.Boolean({ title: 'true or false', default: defaults.oauth.registration, description: 'Whether clients may register themselves (RFC 7591). Most need it.' }),
  client_documents: choice(['off', 'pinned', 'fetch'], 'Whether a client may be named by the address of a document about it: never, those under pinned_documents, or any on the public internet.', defaults.oauth.client_documents),
  pinned_documents: list(text('a file'), { description: 'Copies of such documents, as JSON files: these are never fetched.' }),
}, 'a mapping')

export const configSchema = mapping({
  upstreams: record('^[a-z0-9][a-z0-9-]{0,31}$', 'an upstream name (lower-case letters, digits and hyphens, at most 32)', upstream, {
    minProperties: 1, description: 'The MCP servers behind this gateway, by name. Clients see their tools as name__tool, rules call them name/tool.',
  }),
}, {
  roles: record('^[A-Za-z][A-Za-z0-9_-]{0,31}$', 'a role name (letters, digits, hyphens and underscores, beginning with a letter)', role, { description: 'Who may use what. Absent: admin may use everything, user nothing.' }),
  limits: list(limit, { description: 'How often. Absent: 60 calls an hour for each user and tool.' }),
  guards: { ...guards, description: 'What arguments and results may hold.' },
  instances: { ...instances, description: 'How many server processes there may be at a time; who finds none free waits.' },
  audit: { ...audit, description: 'What is recorded, and how surely.' },
  server: { ...server, description: 'How the gateway is reached.' },
  oauth: { ...oauth, description: 'How clients connect by themselves.' },
  identity: { ...identitySchema, description: 'Who else may say who somebody is.' },
  health: { ...health, description: 'How it is known whether the servers are ready.' },
  packages: { ...packages, description: 'Where packages of npx, uvx and pipx commands are installed from.' },
}, 'a mapping with at least "upstreams"')

/** The JSON Schema that ships for editors. */
export function editorSchema (): unknown {
  return { $schema: 'http://json-schema.org/draft-07/schema#', $comment: 'Generated from src/config/schema.ts by scripts/schema.mjs.', ...configSchema, title: 'Portcullis upstreams.yaml' }
}

function grants (description: string) {
  return list(text('a path, or path:target'), { description: `${description} Each entry is a path, or path:target when the server shall see it elsewhere.` })
}
