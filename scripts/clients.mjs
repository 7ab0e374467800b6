/**
 * `npm run clients`: real clients, each from an empty home, log in to a gateway of their own and use it; a script does what
 * a person would do in the browser; then all of them, at every endpoint, with real servers. Prints tables. Names after `--` run only those. Installs the clients on first use.
 */
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client'

import { root } from './setup.mjs'

const PASSWORD = 'gravel teapot nine harbour'
const PACKAGES = { 'mcp-remote': '0.15.1', '@modelcontextprotocol/inspector': '2.12.0', '@openai/codex': '0.169.0', '@anthropic-ai/claude-code': '2.1.330', '@modelcontextprotocol/conformance': '0.2.0-alpha.12' }
const cache = join(process.getuid?.() === 0 ? '/var/cache' : join(homedir(), '.cache'), 'portcullis-clients')
const bin = name => join(cache, 'node_modules', '.bin', name)

/** Each resolves to what it reached, or rejects. */
const clients = {
  'SDK v1': async ({ url }) => await sdk(url, keeper => {
    const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: keeper })
    return { transport, client: new Client({ name: 'sdk-v1', version: '1' }) }
  }),
  'SDK v2': async ({ url }) => await sdk(url, keeper => {
    const transport = new ModernTransport(new URL(url), { authProvider: keeper })
    return { transport, client: new ModernClient({ name: 'sdk-v2', version: '1' }) }
  }),
  'mcp-remote': async ({ url, home }) => {
    const client = new Client({ name: 'through-mcp-remote', version: '1' })
    const transport = new StdioClientTransport({ command: process.execPath, args: [bin('mcp-remote'), url, '--allow-http'], env: environment(home), stderr: 'pipe' })
    watch(transport.stderr)
    await client.connect(transport, { timeout: 120_000 })
    const result = await client.callTool({ name: 'everything__echo', arguments: { message: 'hello' } })
    await client.close()
    return called(JSON.stringify(result))
  },
  Inspector: async ({ url, home }) => called(await run(bin('mcp-inspector'), ['--cli', url, '--transport', 'http', '--method', 'tools/call', '--tool-name', 'everything__echo', '--tool-arg', 'message=hello'], home, { MCP_AUTO_OPEN_ENABLED: 'true' })),
  Codex: async ({ url, home }) => {
    await run(bin('codex'), ['mcp', 'add', 'gate', '--url', url], home)
    await run(bin('codex'), ['mcp', 'login', 'gate'], home)
    const list = await run(bin('codex'), ['mcp', 'list'], home)
    if (!/gate.*OAuth/i.test(list)) throw new Error(list)
    return 'logged in; a call needs its vendor\'s model'
  },
  'Claude Code': async ({ url, home }) => {
    await run(bin('claude'), ['mcp', 'add', '--transport', 'http', 'gate', url], home)
    // It wants a terminal, wide enough for the address.
    await run('script', ['-qec', `stty cols 1000; '${bin('claude')}' mcp login gate`, '/dev/null'], home)
    const list = await run(bin('claude'), ['mcp', 'list'], home)
    if (!/gate:.*Connected/.test(list)) throw new Error(list)
    return 'logged in and connected; a call needs its vendor\'s model'
  },
  // With a token instead of a login, but at every endpoint with every server; on a Node that all of them take.
  Matrix: async ({ home }) => {
    const settings = { ...process.env, PATH: environment(home).PATH, TEST_INSPECTOR: bin('mcp-inspector'), TEST_MCP_REMOTE: bin('mcp-remote') }
    const output = await run('node', [join(root, 'node_modules/.bin/tap'), '--reporter=tap', '--timeout=600', 'test/matrix/matrix.test.ts'], root, settings, 600)
    return `every cell of\n${output.match(/(?<=^ +# )(client +endpoint|.*\d{4}-\d\d-\d\d) .*$/gm).join('\n')}`
  },
  Conformance: async ({ home }) => {
    // One scenario looks for documents about clients, which have to be offered for that.
    writeFileSync(join(home, 'upstreams.yaml'), 'upstreams: { nothing: { command: "true" } }\noauth: { client_documents: pinned }\n')
    const gate = await startGateway(join(home, 'upstreams.yaml'), join(home, 'data'))
    try {
      const { origin } = new URL(gate.url)
      const port = await freePort()
      const registered = await fetch(`${origin}/oauth/register`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ client_name: 'Conformance', redirect_uris: [`http://127.0.0.1:${port}/callback`] }) })
      const output = await run(bin('conformance'), ['authorization', '--url', origin, '--client-id', (await registered.json()).client_id, '--resource', gate.url, '-p', String(port)], home)
      const [, passed, failed] = /Total: (\d+) passed, (\d+) failed/.exec(output) ?? []
      if (failed !== '0' || Number(passed) < 3) throw new Error(output)
      return `the authorization scenarios of the official suite: ${passed} passed, ${failed} failed`
    } finally {
      await stop(gate)
    }
  },
}
/** Numbers of the tests of the login, as in test/oauth. */
const NUMBERS = { Conformance: 5, 'SDK v1': 6, 'SDK v2': 7, 'mcp-remote': 8, Inspector: 9, Codex: 10, 'Claude Code': 11 }
const versions = { 'SDK v1': versionOf(root, '@modelcontextprotocol/sdk'), 'SDK v2': versionOf(root, '@modelcontextprotocol/client') }

const wanted = process.argv.slice(2)
await install()
const work = mkdtempSync(join(tmpdir(), 'portcullis-clients-'))
fakeBrowser()
const gateway = await startGateway()
/** Access token of the administrator, once there is one. */
let administrator = ''
try {
  process.exitCode = await all()
} finally {
  await stop(gateway)
  rmSync(work, { recursive: true, force: true })
}

async function all () {
  let failed = 0
  row('client', 'version', 'registration', 'result')
  for (const [name, connect] of Object.entries(clients)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    const home = mkdtempSync(join(work, 'home-'))
    const before = await registrations()
    const result = await connect({ url: gateway.url, home }).catch(error => {
      failed += 1
      return `FAILED: ${error.message.slice(-600)}`
    })
    const version = versions[name] ?? PACKAGES[Object.keys(PACKAGES).find(each => each.includes(name.toLowerCase().replace(' ', '-')))] ?? ''
    row(`${name} (${NUMBERS[name] ?? '–'})`, version, name === 'Conformance' ? 'beforehand' : await registrations() > before ? 'by itself' : 'none', result)
  }
  return failed === 0 ? 0 : 1
}

function row (client, version, registration, result) {
  console.log(`${client.padEnd(18)}${version.padEnd(17)}${registration.padEnd(14)}${result}`)
}

/** How many clients have registered themselves so far. */
async function registrations () {
  const { origin } = new URL(gateway.url)
  const list = async () => await fetch(`${origin}/admin/api/clients?limit=100`, { headers: { authorization: `Bearer ${administrator}` } })
  let listed = await list()
  if (listed.status === 401) {
    // Once in a while only: ten logins a minute are let in.
    const login = await fetch(`${origin}/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username: 'admin', password: PASSWORD }) })
    administrator = (await login.json()).access_token
    listed = await list()
  }
  return (await listed.json()).clients.length
}

/** What every client of the SDKs has to bring: somewhere to keep things, and a browser. */
async function sdk (url, open) {
  const kept = {}
  let started
  const keeper = {
    redirectUrl: 'http://127.0.0.1:33418/callback',
    clientMetadata: { client_name: 'A client on an SDK', redirect_uris: ['http://127.0.0.1:33418/callback'] },
    clientInformation: () => kept.client,
    saveClientInformation: client => { kept.client = client },
    tokens: () => kept.tokens,
    saveTokens: tokens => { kept.tokens = tokens },
    redirectToAuthorization: address => { started = address.href },
    saveCodeVerifier: verifier => { kept.verifier = verifier },
    codeVerifier: () => kept.verifier,
  }
  const { transport, client } = open(keeper)
  await client.connect(transport).then(() => { throw new Error('no login was asked for') }, error => { if (started === undefined) throw error })
  const back = new Promise(resolve => {
    const server = createServer(socket => socket.once('data', data => {
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
      server.close()
      resolve(new URL(/^GET (\S+)/.exec(data.toString())[1], 'http://127.0.0.1').searchParams)
    })).listen(33418, '127.0.0.1')
  })
  await run(process.execPath, [join(root, 'scripts', 'approve.mjs'), started, 'admin', PASSWORD, work], work)
  const parameters = await back
  await transport.finishAuth(client instanceof ModernClient ? parameters : parameters.get('code'))
  const again = open(keeper)
  await again.client.connect(again.transport)
  const result = await again.client.callTool({ name: 'everything__echo', arguments: { message: 'hello' } })
  await again.client.close()
  return called(JSON.stringify(result))
}

function called (output) {
  if (!output.includes('hello')) throw new Error(`not the answer of the tool: ${output}`)
  return 'logged in, called a tool'
}

/** In the place of the program that opens a browser: does there what a person would do. */
function fakeBrowser () {
  mkdirSync(join(work, 'bin'))
  for (const name of ['xdg-open', 'open', 'sensible-browser']) {
    writeFileSync(join(work, 'bin', name), `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'scripts', 'approve.mjs')}' "$1" admin '${PASSWORD}' '${work}' >/dev/null 2>&1 &\n`)
    chmodSync(join(work, 'bin', name), 0o755)
  }
}

function environment (home, more = {}) {
  const node = join(cache, 'node_modules', `node-linux-${process.arch}`, 'bin')
  return { HOME: home, PATH: [join(work, 'bin'), node, process.env.PATH].join(delimiter), BROWSER: join(work, 'bin', 'xdg-open'), DISPLAY: ':0', TERM: 'dumb', NO_COLOR: '1', MCP_REMOTE_CONFIG_DIR: join(home, 'mcp-remote'), DISABLE_AUTOUPDATER: '1', CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', ...more }
}

/** Many clients print the address for whoever has no browser. */
function watch (stream) {
  let text = ''
  stream.on('data', chunk => {
    text += chunk
    // eslint-disable-next-line no-control-regex -- terminals mark where a link ends
    const address = /(https?:\/\/[^\s"'\u0007\u001b]*\/oauth\/authorize\?[^\s"'\u0007\u001b]+)[\s"'\u0007\u001b]/.exec(text)?.[1]
    if (address === undefined) return
    text = ''
    run(process.execPath, [join(root, 'scripts', 'approve.mjs'), address, 'admin', PASSWORD, work], work).catch(error => console.error(error.message))
  })
}

/** Output of a program that ends well, within two minutes unless it may take longer. */
async function run (command, args, home, more, seconds = 120) {
  const child = spawn(command, args, { cwd: home, env: environment(home, more), stdio: ['ignore', 'pipe', 'pipe'] })
  const limit = setTimeout(() => child.kill('SIGKILL'), seconds * 1000)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', chunk => { output += chunk })
    if (command !== process.execPath) watch(stream)
  }
  const code = await new Promise((resolve, reject) => { child.once('close', resolve); child.once('error', reject) }).finally(() => clearTimeout(limit))
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${output}`)
  return output
}

async function stop (gateway) {
  if (gateway.exitCode !== null) return
  gateway.kill('SIGTERM')
  await new Promise(resolve => gateway.once('exit', resolve))
}

async function startGateway (config = join(root, 'upstreams.yaml'), data = join(work, 'data')) {
  const [port, metrics] = [await freePort(), await freePort()]
  const url = `http://localhost:${port}`
  const child = spawn(process.execPath, [join(root, 'dist', 'src', 'cli.js'), 'serve', '--config', config], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, PORT: String(port), METRICS_PORT: String(metrics), PUBLIC_URL: url, PORTCULLIS_DATA: data, PORTCULLIS_ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'error' },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  for (let tries = 0; tries < 300; tries++) {
    if (await fetch(`http://127.0.0.1:${port}/readyz`).then(({ ok }) => ok, () => false)) return Object.assign(child, { url: `${url}/mcp` })
    if (child.exitCode !== null) break
    await new Promise(resolve => setTimeout(resolve, 200))
  }
  child.kill('SIGKILL')
  throw new Error('the gateway did not start')
}

async function freePort () {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address()
  await new Promise(resolve => server.close(resolve))
  return port
}

async function install () {
  const missing = Object.entries({ ...PACKAGES, [`node-linux-${process.arch}`]: '24' }).filter(([name]) => !existsSync(join(cache, 'node_modules', name)))
  if (missing.length === 0) return
  mkdirSync(cache, { recursive: true })
  const child = spawn('npm', ['install', '--prefix', cache, '--no-save', '--no-audit', '--no-fund', ...Object.entries({ ...PACKAGES, [`node-linux-${process.arch}`]: '24' }).map(([name, version]) => `${name}@${version}`)], { stdio: ['ignore', 'ignore', 'inherit'] })
  const code = await new Promise(resolve => child.once('close', resolve))
  if (code !== 0) throw new Error('the clients could not be installed')
}

function versionOf (folder, name) {
  return JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')).version
}
