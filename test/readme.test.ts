import { execFile, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { Option } from 'commander'
import type { Command } from 'commander'
import t from 'tap'
import type { Test } from 'tap'
import { auditCommands } from '../src/commands/audit-commands.ts'
import { explainCommand } from '../src/commands/explain.ts'
import { pinCommand } from '../src/commands/pin.ts'
import { clientCommands } from '../src/commands/client.ts'
import { connectCommand } from '../src/commands/connect.ts'
import { dbCommands } from '../src/commands/db.ts'
import { doctorCommand } from '../src/commands/doctor.ts'
import { keyCommands } from '../src/commands/key.ts'
import { tokenCommands } from '../src/commands/token-commands.ts'
import { userCommands } from '../src/commands/user-commands.ts'
import { loadConfig } from '../src/config/config.ts'
import { refusals } from '../src/errors.ts'
import { freePort, until } from './support/gateway.ts'
import { testDatabase } from './support/postgres.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const cli = join(root, 'dist/src/cli.js')
const run = promisify(execFile)

// Every command is a process of its own, as it is for the reader; two dozen of them take their time on a busy machine.
t.setTimeout(300_000)

/** README first: what it makes (a token, a user, a record) the other pages go on with. */
const pages = [
  'README.md',
  ...namesIn('.').filter((name) => name !== 'README.md'),
  ...namesIn('docs').sort((a, b) => Number(b === 'identity.md') - Number(a === 'identity.md')).map((name) => `docs/${name}`),
]

/** Where a line of a page is, for the message of a failure. */
interface Place { readonly page: string, readonly line: number }
interface Block extends Place { readonly language: string, readonly lines: readonly string[] }
interface Line extends Place { readonly text: string }

/** What the commands before have made, by the placeholder that the documentation writes for it. */
interface Made {
  /** Ends it as Ctrl-C does; its exit code. */
  readonly stop: () => Promise<unknown>
  readonly url: string
  readonly placeholders: Map<string, string>
  /** Variables of the reader's shell. */
  readonly shell: Record<string, string>
  call (token: string, tool: string): Promise<unknown>
  /** Waits until an attempt is in the database. */
  shipped (record: string): Promise<void>
}

interface Way {
  readonly command: RegExp
  /** What it must print. */
  readonly shows: RegExp
  readonly then?: (made: Made, output: string) => Promise<void> | void
}

/** The commands that run here, as they stand in the documentation, and what a reader sees. */
const ways: readonly Way[] = [
  { command: /^TOKEN=\$\(curl /, shows: /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/, then: async (made, output) => { made.shell['TOKEN'] = output; await made.call(output, 'everything__get-env') } },
  { command: /^curl -s \S+\/auth\/login /, shows: /"access_token":"eyJ/ },
  { command: /^curl -s \S+\/admin\/api\/users -H \S+ Bearer \$TOKEN"$/, shows: /^\{"users":\[\{[^]*"name":"admin","roles":\["admin"\]/ },
  { command: /^curl -s \S+\/admin\/api\/users .* -d /, shows: /"name":"dana","roles":\["user"\],"disabled":false[^]*"password":"/ },
  { command: /^curl -s -X PUT \S+\/admin\/api\/users\/dana\/roles /, shows: /"roles":\["admin","user"\]/ },
  { command: /^curl -s -X POST \S+\/admin\/api\/users\/dana\/password /, shows: /^\{"password":"[\w-]{24}"\}$/ },
  { command: /^curl -s -X POST \S+\/admin\/api\/users\/dana\/disable /, shows: /"disabled":true/ },
  { command: /^curl -s -X POST \S+\/admin\/api\/users\/dana\/enable /, shows: /"disabled":false/ },
  { command: /^curl -s "\S+\/admin\/api\/tokens\?user=admin" /, shows: /"name":"provisioning","prefix":"portcullis_pat_[\w-]+","scopes":\["mcp:admin"\]/ },
  { command: /^curl -s \S+\/admin\/api\/tokens .* -d /, shows: /"user":"dana"[^]*"token":"portcullis_pat_/, then: ({ placeholders }, output) => { placeholders.set('<token id>', (JSON.parse(output) as { id: string }).id) } },
  { command: /^curl -s -X DELETE \S+\/admin\/api\/(tokens\/<token id>|clients\/nightly) /, shows: /^$/ },
  { command: /^curl -s \S+\/admin\/api\/clients /, shows: /"id":"nightly","name":"nightly","kind":"machine"/ },
  { command: /^curl -s \S+\/admin\/api\/keys -H/, shows: /"state":"active"/ },
  { command: /^curl -s \S+\/admin\/api\/keys\/rotate /, shows: /^\{"kid":"[0-9a-f-]{36}","signsFrom":"20/ },
  { command: /^npx portcullis token create --user admin --name provisioning /, shows: /^portcullis_pat_[^]*within mcp:admin/ },
  { command: /^npx portcullis client add nightly --role user$/, shows: /^Client nightly was added/ },
  { command: /^npx portcullis check$/, shows: /upstreams\.yaml is fine/ },
  { command: /^npx portcullis check --config other\.yaml --json$/, shows: /"ok": true/ },
  { command: /^npx portcullis user add alice /, shows: /^User alice was added with the role user\.\nPassword \(shown this once\): /, then: refusedFor },
  { command: /^npx portcullis user add /, shows: /^User \w+ was added with the role user\./ },
  { command: /^npx portcullis user list --json$/, shows: /"name": "bo"/ },
  { command: /^npx portcullis user role bo /, shows: /^User bo now has the role admin\./ },
  { command: /^npx portcullis user disable bo$/, shows: /^User bo is disabled/ },
  { command: /^npx portcullis user enable bo$/, shows: /^User bo is enabled/ },
  { command: /^npx portcullis user passwd bo$/, shows: /^The password of bo was changed[^]*shown this once/ },
  { command: /^npx portcullis token create --user admin --name my-laptop$/, shows: /^portcullis_pat_[\w-]+/, then: async (made, output) => { made.placeholders.set('<token>', firstWord(output)); await made.call(firstWord(output), 'everything__get-env') } },
  { command: /^npx portcullis token create --user bo /, shows: /^portcullis_pat_[^]*within files\/read_\*/ },
  { command: /^npx portcullis token list --user bo$/, shows: /laptop/, then: ({ placeholders }, output) => { placeholders.set('<id>', /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(output)?.[0] ?? '') } },
  { command: /^npx portcullis token revoke <id>$/, shows: /^The token "laptop" is revoked\./ },
  { command: /^npx portcullis audit tail$/, shows: /^TIME +RECORD[^]*everything\/get-env/ },
  { command: /^npx portcullis audit search --user alice --outcome refused --since \d+h$/, shows: /alice +everything\/get-env +refused .*PORTCULLIS_UNKNOWN_TARGET/ },
  { command: /^npx portcullis audit show <record>$/, shows: /^record +\S+[^]*as written:/m },
  { command: /^npx portcullis connect claude-code$/, shows: /^claude mcp add --transport http portcullis http/ },
  { command: /^npx portcullis connect cursor --write$/, shows: /^\.cursor\/mcp\.json was written/ },
  { command: /^npx portcullis connect vscode --url /, shows: /"url": "https:\/\/mcp\.example\.com\/mcp\/everything"/ },
  { command: /^npx portcullis client add ci --role user$/, shows: /^Client ci was added[^]*Secret \(shown this once\): portcullis_cs_/ },
  { command: /^npx portcullis client add robot --role user --jwks robot\.json$/, shows: /^Client robot was added with the role user\./ },
  { command: /^npx portcullis client list$/, shows: /robot +robot +machine/ },
  { command: /^npx portcullis client remove ci$/, shows: /^Client ci is removed\./ },
  { command: /^npx portcullis key rotate( --now)?$/, shows: /^The key [0-9a-f-]{36} signs from 20/ },
  { command: /^npx portcullis key list$/, shows: /^KEY +STATE[^]*active/ },
  { command: /^npx portcullis audit forget alice --yes$/, shows: /^No payload of alice was kept\.|^The payloads of alice can never be read again/ },
  { command: /^npx portcullis audit stats --by tool --since 7d$/, shows: /^TOOL +CALLS[^]*everything\/get-env/ },
  { command: /^npx portcullis audit export --format ocsf --cursor siem\.cursor$/, shows: /"class_uid":6003[^\n]*"operation":"get-env"/ },
  { command: /^npx portcullis explain admin everything\/get-env$/, shows: /^admin may use everything\/get-env: admin:/ },
  { command: /^npx portcullis audit retain --older-than 400d --archive archive$/, shows: /^No month is old enough yet\.$/m },
  { command: /^npx portcullis audit archive archive$/, shows: /^Every month that is over is there already\.$/m },
  { command: /^npx portcullis audit hold add "case 7" --user alice --since 90d$/, shows: /^Hold 1 keeps user alice, since 20/ },
  { command: /^npx portcullis audit hold list$/, shows: /^NUMBER +KEEPS[^]*case 7/ },
  { command: /^npx portcullis audit hold remove 1$/, shows: /^Hold 1 is lifted\./ },
  { command: /^npx portcullis pin( everything| --approve)?$/, shows: /^No command here downloads a package/ },
  { command: /^npx portcullis audit verify$/, shows: /^Intact: \d+ records/m },
  { command: /^npx portcullis audit key$/, shows: /^-----BEGIN PUBLIC KEY-----/m },
  { command: /^printf 'POSTGRES_PASSWORD=/, shows: /^$/ },
  { command: /^install -d -m 700 \.portcullis\/secrets /, shows: /^$/ },
]

interface Elsewhere {
  readonly command: RegExp
  /** A file that runs it, or as much of it as can be run without what is missing here… */
  readonly by: string
  /** …and the text by which it does. */
  readonly proof: string
  readonly why: string
}

/** The commands that run somewhere else. */
const elsewhere: readonly Elsewhere[] = [
  { command: /^npm start$/, by: '.ci/run', proof: 'npm start &', why: 'installs and compiles; the program it starts is the one that serves here' },
  { command: /^npm test( -- \S+)?$/, by: '.ci/run', proof: 'npm test', why: 'would run itself' },
  { command: /^npm run lint$/, by: '.ci/run', proof: 'npx eslint .', why: 'takes long' },
  { command: /^npm run unused$/, by: '.ci/run', proof: 'npx knip', why: 'takes long' },
  { command: /^bash \.ci\/run$/, by: '.ci/run', proof: 'passed, $failed failed', why: 'is what runs everything' },
  { command: /^npm run bench:ledger\b/, by: 'test/ledger-bench.test.ts', proof: "bench('rows.mjs')", why: 'takes minutes' },
  { command: /^npm run bench\b(?!:)/, by: 'test/bench.test.ts', proof: "bench('rounds.mjs')", why: 'takes minutes and downloads its contenders' },
  { command: /^npm run eras\b/, by: 'test/bench.test.ts', proof: "bench('stdio-client.mjs')", why: 'wants the machine for itself' },
  { command: /^npm run storm\b/, by: 'test/bench.test.ts', proof: "bench('storm.mjs')", why: 'wants the machine for itself' },
  { command: /^npm run servers\b/, by: '.ci/run', proof: 'npm run servers', why: 'downloads the servers' },
  { command: /^npm run ledger:prove$/, by: '.ci/run', proof: 'npm run ledger:prove', why: 'takes minutes' },
  { command: /^npm run conformance\b/, by: '.ci/run', proof: 'npm run -s conformance', why: 'takes minutes and downloads the official suite' },
  { command: /^docker compose (up|logs|exec)\b/, by: 'test/docker.test.ts', proof: "'config']", why: 'needs a Docker daemon' },
  { command: /^apt-get install -y bubblewrap util-linux( socat)?$/, by: '.ci/run', proof: 'bubblewrap socat util-linux', why: 'changes the machine' },
  { command: /^npx -y @modelcontextprotocol\/inspector --cli /, by: 'test/matrix/inspector.ts', proof: "ask('tools/list')", why: 'downloads the Inspector' },
  { command: /^npx portcullis audit tail -f$/, by: 'test/commands/audit.test.ts', proof: 'follow: true', why: 'goes on until it is interrupted' },
  { command: /^codex mcp add /, by: 'scripts/clients.mjs', proof: "run(bin('codex'), ['mcp', 'add'", why: 'is another program' },
  { command: /^npx @modelcontextprotocol\/inspector --cli /, by: 'scripts/clients.mjs', proof: "run(bin('mcp-inspector'), ['--cli'", why: 'downloads the Inspector' },
  { command: /^gemini mcp add /, by: 'test/commands/connect.test.ts', proof: 'shows for every client', why: 'is another program, which was not run' },
  { command: /^npx portcullis audit payload <record>$/, by: 'test/ledger/payload.test.ts', proof: 'auditPayload(session', why: 'needs a call whose payload was kept' },
  { command: /^npx portcullis explain --replay 7d --policy draft\.yaml$/, by: 'test/commands/explain.test.ts', proof: 'explainReplay({', why: 'needs a draft' },
  { command: /^npx portcullis audit verify --archive archive$/, by: 'test/ledger/keeping.test.ts', proof: 'verify(site, [directory])', why: 'needs a month that is over' },
  { command: /^npx portcullis audit verify-archive archive\/\S+ --key gateway\.pem$/, by: 'test/ledger/keeping.test.ts', proof: 'verifyArchives([january]', why: 'needs a month that is over' },
  { command: /^npx portcullis audit prove <record>$/, by: 'test/ledger/tamper.test.ts', proof: 'auditProve({', why: 'waits for the next signature' },
  { command: /^npx portcullis db migrate --grant portcullis_gateway$/, by: 'test/ledger/role.test.ts', proof: 'migrateDatabase(place, role)', why: 'needs a role of one\'s own, which is no part of a database' },
  { command: /^claude mcp add /, by: 'test/readme.test.ts', proof: "set('<token>'", why: 'is another program; the address and the header it is given are used here' },
]

t.test('every command of the documentation works as it is written, or is run elsewhere', async (t) => {
  const made = await serve(t)
  const unused = new Set([...ways, ...elsewhere])
  const seen = new Set<string>()
  for (const command of blocks().filter(isShell).flatMap(commandsOf)) {
    if (seen.has(command.text)) continue
    seen.add(command.text)
    const at = `${command.page}:${command.line} ${command.text}`
    const other = elsewhere.find((entry) => entry.command.test(command.text))
    const way = ways.find((entry) => entry.command.test(command.text))
    for (const entry of [other, way]) if (entry !== undefined) unused.delete(entry)
    if (other !== undefined) t.ok(readFileSync(join(root, other.by), 'utf8').includes(other.proof), `${at} (${other.by}: ${other.why})`)
    else if (way === undefined) t.fail(`${at}: nothing runs this command; add it to the tables of this test`)
    else await t.test(at, async (t) => await follow(t, command, way, made))
  }
  t.same([...unused].map(({ command }) => String(command)), [], 'no command is in the tables that no page has')
  t.equal(await made.stop(), 0, 'it ends well')
})

t.test('a block of commands is marked as one', async (t) => {
  const commands = /^(?:\$ )?(?:npx|npm|node|curl|portcullis|docker|bash|claude|apt-get|pg_dump) /
  for (const { page, line, lines } of blocks().filter((block) => !isShell(block) && block.language !== 'nginx')) {
    t.notOk(lines.some((text) => commands.test(text)), `${page}:${line} begins with \`\`\`sh, or holds no command`)
  }
})

t.test('every portcullis command and flag that the documentation names exists', async (t) => {
  const known = await programs()
  const mentions = [...blocks().filter(isShell).flatMap(commandsOf), ...spans()].filter(({ text }) => invocation.test(text))
  t.ok(mentions.length > 20)
  for (const { page, line, text } of mentions) t.equal(unknownPart(known, text.replace(invocation, '')), undefined, `${page}:${line} ${text}`)

  const flags = new Set([...known.values()].flatMap((command) => command.flags))
  const foreign = new Set(['--header', '--privileged', '--init', '--security-opt', '--fix', '--scenarios', '--only', '--rounds', '--no-build', '--quick', '--seed', '--kills', '--durability', '--rows', '--part', '--local-timezone', '--index-url', '--ignore-scripts', '--min-semi-space-size', '--max-semi-space-size', '--no-memory-reducer', '--single-threaded-gc'])
  for (const { page, line, text } of spans().filter((span) => span.text.startsWith('--') && span.text !== '--')) {
    const [flag = ''] = text.split(/[ =]/)
    t.ok(flags.has(flag) || foreign.has(flag), `${page}:${line} ${text}`)
  }
})

t.test('every example of upstreams.yaml is valid', async (t) => {
  const others = ['files', 'tickets', 'git', 'docs', 'github', 'shell'].map((name) => `  ${name}: { command: x }`).join('\n')
  const file = join(t.testdir(), 'upstreams.yaml')
  const examples = blocks().filter(({ language, lines }) => language === 'yaml' && lines.some((text) => /^(upstreams|roles|limits|guards|instances|health|audit|server|oauth):/.test(text)))
  t.ok(examples.length > 8)
  for (const { page, line, lines } of examples) {
    const text = lines.join('\n')
    writeFileSync(file, /^upstreams:/m.test(text) ? text : `upstreams:\n${others}\n${text}`)
    t.doesNotThrow(() => loadConfig({}, { file }), `${page}:${line}`)
  }
})

t.test('every refusal has its section, with the status it is sent with, and there is no other', async (t) => {
  const sections = new Map(read('docs/errors.md').split(/^## /m).slice(1).map((text) => [firstWord(text), text]))
  t.same([...sections.keys()].sort(), Object.keys(refusals).sort())
  for (const [code, { status, shape, rpc }] of Object.entries(refusals)) {
    const text = sections.get(code) ?? ''
    if (shape === 'http') t.ok(text.includes(`HTTP ${status}`), `${code} says HTTP ${status}`)
    if (shape === 'result') t.ok(text.includes('Tool result'), `${code} says that it is a tool result`)
    if (text.includes('JSON-RPC -')) t.ok(text.includes(`JSON-RPC ${rpc}`), `${code} says JSON-RPC ${rpc}`)
  }
})

/** Runs one command in the reader's shell and looks at what it prints. */
async function follow (t: Test, command: Line, way: Way, made: Made): Promise<void> {
  const text = asTyped(command.text, made)
  const shown = text.startsWith('TOKEN=') ? `${text}; printf %s "$TOKEN"` : text
  const { stdout } = await run('bash', ['-e', '-u', '-o', 'pipefail', '-c', `unset NODE_OPTIONS; ${shown}`], { cwd: made.shell['PWD'], env: made.shell })
  t.match(stdout, way.shows)
  await way.then?.(made, stdout)
}

/** The command with what the reader puts in: the placeholders, the port of this gateway, and the program of this clone. */
function asTyped (command: string, { url, placeholders }: Made): string {
  const filled = [...placeholders].reduce((text, [name, value]) => text.replaceAll(name, value), command)
  const missing = /<[a-z][a-z ]*>/.exec(filled)
  if (missing !== null) throw new Error(`nothing before has made ${missing[0]}`)
  return filled.replaceAll('http://127.0.0.1:8080', url).replaceAll('npx portcullis', `'${process.execPath}' '${cli}'`)
}

/** A clone's folder with the program serving in it, as a reader has it after `npm start`. */
async function serve (t: Test): Promise<Made> {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-readme-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const name of ['upstreams.yaml', 'other.yaml']) copyFileSync(join(root, 'upstreams.yaml'), join(folder, name))
  writeFileSync(join(folder, 'secret.txt'), 'gravel teapot nine harbour\n')
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  writeFileSync(join(folder, 'robot.json'), JSON.stringify(publicKey.export({ format: 'jwk' })))
  const database = await testDatabase(t)
  const port = await freePort()
  const shell: Record<string, string> = { PATH: process.env['PATH'] ?? '', HOME: folder, PWD: folder, DATABASE_URL: database.url, PORT: String(port), METRICS_PORT: String(await freePort()) }
  const child = spawn(process.execPath, [cli, 'serve'], { cwd: folder, env: shell, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  t.teardown(() => child.kill('SIGKILL'))
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { printed += text })
  const url = `http://127.0.0.1:${port}`
  await until(() => printed.includes('Connect a client:') || child.exitCode !== null, 30_000)
  t.ok(printed.includes(`Portcullis is up: ${url}/mcp`), 'it prints its address')
  const password = /user admin, password (\S+) {3}\(shown this once\)/.exec(printed)?.[1]
  t.type(password, 'string', 'it prints the password')
  return {
    url,
    shell,
    placeholders: new Map([['<the printed password>', password ?? '']]),
    stop: async () => {
      child.kill('SIGTERM')
      return await ended
    },
    call: async (token, tool) => {
      const client = new Client({ name: 'reader', version: '1.0.0' })
      await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit: { headers: { authorization: `Bearer ${token}` } } }) as Transport)
      try {
        return await client.callTool({ name: tool, arguments: {} })
      } finally {
        await client.close()
      }
    },
    shipped: async (record) => await until(async () => (await database.pool.query('select from ledger.attempt where record = $1', [record])).rowCount === 1),
  }
}

/** The new user logs in with the printed password and is refused what their role does not allow: a record to look up. */
async function refusedFor (made: Made, output: string): Promise<void> {
  const password = /shown this once\): (\S+)/.exec(output)?.[1]
  const answer = await fetch(`${made.url}/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username: 'alice', password }) })
  const { access_token: token } = await answer.json() as { access_token: string }
  const refusal = await made.call(token, 'everything__get-env').then(() => undefined, (error: { data?: { record: string, docs: string } }) => error.data)
  if (refusal === undefined) throw new Error('the call was not refused')
  const page = await (await fetch(refusal.docs)).text()
  if (!page.startsWith('PORTCULLIS_UNKNOWN_TARGET')) throw new Error(`${refusal.docs} shows ${page}`)
  await made.shipped(refusal.record)
  made.placeholders.set('<record>', refusal.record)
}

function blocks (): Block[] {
  return pages.flatMap((page) => {
    const found: Block[] = []
    const lines = read(page).split('\n')
    for (let at = 0; at < lines.length; at++) {
      const language = /^```(\w*)/.exec(lines[at] ?? '')?.[1]
      if (language === undefined) continue
      const end = lines.indexOf('```', at + 1)
      if (end === -1) throw new Error(`${page}:${at + 1}: a block without an end`)
      found.push({ page, line: at + 2, language, lines: lines.slice(at + 1, end) })
      at = end
    }
    return found
  })
}

function isShell ({ language }: Block): boolean {
  return ['sh', 'bash', 'shell', 'console'].includes(language)
}

/** The commands of a block, each on one line and without its comment. */
function commandsOf ({ page, line, lines }: Block): Line[] {
  const found: Line[] = []
  let open = ''
  lines.forEach((text, index) => {
    const whole = open + text.replace(/\s+#\s.*$/, '').trim()
    open = whole.endsWith('\\') ? `${whole.slice(0, -1).trim()} ` : ''
    if (open === '' && whole !== '' && !whole.startsWith('#')) found.push({ page, line: line + index, text: whole })
  })
  return found
}

/** Every `code` in the text of the pages, and in the comments of the shipped configuration. */
function spans (): Line[] {
  return [...pages, 'upstreams.yaml'].flatMap((page) => read(page).split('\n').flatMap((line, index) => (
    [...line.matchAll(/`([^`]+)`/g)].map(([, text = '']) => ({ page, line: index + 1, text }))
  )))
}

const invocation = /^(?:docker compose exec gateway )?(?:npx portcullis|portcullis|node dist\/src\/cli\.js) +/

interface Known { readonly flags: readonly string[], readonly commands: readonly string[] }

/** Path of a command, such as `user add` → its flags and the commands below it. */
async function programs (): Promise<Map<string, Known>> {
  const known = new Map<string, Known>()
  const add = (path: string, command: Command): void => {
    known.set(path, { flags: command.options.flatMap(({ short, long }) => [short, long].filter((flag) => flag !== undefined)), commands: command.commands.map((sub) => sub.name()) })
    for (const sub of command.commands) add(`${path} ${sub.name()}`, sub)
  }
  const context = { env: {}, out: () => {}, configOption: () => new Option('-c, --config <file>') }
  for (const group of [userCommands, tokenCommands, clientCommands, keyCommands, auditCommands, connectCommand, dbCommands, doctorCommand, explainCommand, pinCommand]) add(group(context).name(), group(context))
  const help = async (...path: string[]): Promise<string> => (await run('bash', ['-c', 'unset NODE_OPTIONS; exec "$0" "$@"', process.execPath, cli, ...path, '--help'])).stdout
  for (const name of ['serve', 'check']) known.set(name, { flags: (await help(name)).match(/(?<=^ {2}.*)-{1,2}[a-z][a-z-]*/gm) ?? [], commands: [] })
  known.set('', { flags: ['--help', '--version'], commands: ['help', ...((await help()).match(/(?<=^ {2})[a-z]+(?= .*$)/gm) ?? [])] })
  return known
}

/** The first word that the program would not understand, or undefined. */
function unknownPart (known: ReadonlyMap<string, Known>, text: string): string | undefined {
  let path = ''
  for (const word of text.split(/[<>|;&]/, 1)[0]?.split(/ +/) ?? []) {
    const { flags, commands } = known.get(path) ?? { flags: [], commands: [] }
    if (word.startsWith('-') && !flags.includes(word.replace(/=.*$/, ''))) return word
    if (!/^[a-z]+(-[a-z]+)*$/.test(word) || commands.length === 0) continue
    if (!commands.includes(word)) return word
    path = `${path} ${word}`.trim()
  }
  return undefined
}

function namesIn (folder: string): string[] {
  return readdirSync(join(root, folder)).filter((name) => name.endsWith('.md') && statSync(join(root, folder, name)).isFile())
}

function firstWord (text: string): string {
  return text.split(/\s/, 1)[0] ?? ''
}

function read (page: string): string {
  return readFileSync(join(root, page), 'utf8')
}
