/**
 * `npm run servers`: third-party servers, as they are published, each started by a gateway in its default sandbox, and a
 * tool of each called. Prints what docs/sandbox.md has as a table. Fails when a server does not start or answers something else.
 * Names after `--` run only those. Installs the servers on first use; set SERVERS_CACHE to the folder to keep them in.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'

import { login, serve, session } from './serving.mjs'

const isRoot = process.getuid() === 0
const cache = process.env.SERVERS_CACHE ?? join(isRoot ? '/var/cache' : join(homedir(), '.cache'), 'portcullis-servers')
const packages = {
  '@modelcontextprotocol/server-filesystem': '2026.8.31',
  '@modelcontextprotocol/server-everything': '2026.8.31',
  '@modelcontextprotocol/server-memory': '2026.8.31',
  '@modelcontextprotocol/server-sequential-thinking': '2026.8.31',
  '@playwright/mcp': '0.0.83',
}
const pythonPackages = { 'mcp-server-git': '2026.10.19', 'mcp-server-time': '2026.10.19' }
const program = (name) => join(cache, 'venv/bin', name)
const chromium = ['/usr/lib/chromium/chromium', '/opt/google/chrome/chrome'].find(existsSync) // the programs; what lies on PATH are scripts that read /etc

const work = mkdtempSync(join(tmpdir(), 'portcullis-servers-'))
chmodSync(work, 0o755)
const files = grant('files')
const notes = grant('notes')
const repository = grant('repository')
const site = await website('<title></title><script>document.title = "rendered " + 6 * 7</script>')

/** What a user would configure, one tool to call, and what its answer holds. */
const servers = {
  filesystem: { npm: '@modelcontextprotocol/server-filesystem', args: ['/data'], sandbox: { write: [`${files}:/data`] }, call: ['read_text_file', { path: '/data/hello.txt' }], shows: /hello from a file/ },
  everything: { npm: '@modelcontextprotocol/server-everything', sandbox: {}, call: ['echo', { message: 'hello' }], shows: /hello/ },
  memory: {
    npm: '@modelcontextprotocol/server-memory',
    env: { MEMORY_FILE_PATH: '/notes/memory.json' },
    sandbox: { write: [`${notes}:/notes`] },
    call: ['create_entities', { entities: [{ name: 'Ada', entityType: 'person', observations: ['wrote the first program'] }] }],
    shows: /Ada/,
  },
  thinking: { npm: '@modelcontextprotocol/server-sequential-thinking', sandbox: {}, call: ['sequentialthinking', { thought: 'a', nextThoughtNeeded: false, thoughtNumber: 1, totalThoughts: 1 }], shows: /thoughtNumber/ },
  git: { command: [program('mcp-server-git'), '--repository', '/repository'], sandbox: { write: [`${repository}:/repository`] }, call: ['git_log', { repo_path: '/repository' }], shows: /the first commit/ },
  time: { command: [program('mcp-server-time'), '--local-timezone', 'UTC'], sandbox: {}, call: ['convert_time', { source_timezone: 'UTC', time: '12:00', target_timezone: 'Asia/Tokyo' }], shows: /21:00/ },
  playwright: { // a browser that may reach one site: this one
    npm: '@playwright/mcp',
    args: ['--headless', '--isolated', '--no-sandbox', '--executable-path', chromium ?? 'chromium', '--output-dir', '/tmp', '--proxy-server', 'http://127.0.0.1:3128', '--proxy-bypass', '<-loopback>'],
    sandbox: { memory: '1GiB', processes: 256, network: [new URL(site.url).host], private: ['127.0.0.0/8', '::1'] },
    call: ['browser_navigate', { url: site.url }],
    shows: /rendered 42/,
  },
}

const wanted = process.argv.slice(2).length > 0 ? process.argv.slice(2) : Object.keys(servers)
try {
  install()
  prepare()
  process.exitCode = await run(wanted) ? 0 : 1
} finally {
  site.close()
  rmSync(work, { recursive: true, force: true })
}

async function run (names) {
  const password = 'gravel teapot nine harbour'
  const file = join(cache, 'upstreams.yaml') // npx looks for packages beside it
  const upstreams = Object.fromEntries(names.map((name) => {
    const { npm, command = ['npx', '-y', `${npm}@${packages[npm]}`], args = [], env, sandbox } = servers[name]
    return [name, { command: [...command, ...args], ...(env === undefined ? {} : { env }), sandbox, timeouts: { start: '60s', call: '2m' } }]
  }))
  writeFileSync(file, JSON.stringify({ upstreams }))
  const gateway = await serve({ folder: cache, file, data: join(work, 'data'), password })
  try {
    const token = await login(gateway.url, password)
    const rows = []
    for (const name of names) rows.push(await measure(name, gateway, token))
    table(rows)
    return rows.every(({ problem }) => problem === undefined)
  } finally {
    await gateway.stop()
  }
}

/** One server: from nothing to the answer of a tool, and what its cell takes then. */
async function measure (name, gateway, token) {
  const { call: [tool, args], shows } = servers[name]
  const before = new Set(descendants(gateway.pid))
  const begun = performance.now()
  try {
    const ask = await session(gateway.url, token, name)
    const { tools } = await ask('tools/list', {})
    const started = performance.now() - begun
    const text = JSON.stringify(await ask('tools/call', { name: tool, arguments: args }))
    if (!shows.test(text)) throw new Error(`${tool} answered ${text.slice(0, 500)}`)
    const cell = descendants(gateway.pid).filter((pid) => !before.has(pid))
    const answered = performance.now() - begun
    return { name, tools: tools.length, started, answered, memory: sum(cell, /^Rss(?:Anon|Shmem):\s+(\d+)/gm) / 1024, threads: sum(cell, /^Threads:\s+(\d+)/gm), processes: cell.length }
  } catch (error) {
    return { name, problem: `${error.message}\n${gateway.said()}` }
  }
}

function table (rows) {
  console.log(`${'server'.padEnd(12)}${['tools', 'start', 'answer', 'memory', 'processes', 'threads'].map((text) => text.padStart(11)).join('')}`)
  for (const { name, problem, tools, started, answered, memory, processes, threads } of rows) {
    console.log(problem === undefined ? `${name.padEnd(12)}${[tools, `${started.toFixed(0)} ms`, `${answered.toFixed(0)} ms`, `${memory.toFixed(0)} MiB`, processes, threads].map((text) => `${text}`.padStart(11)).join('')}` : `${name.padEnd(12)} FAILED ${problem}`)
  }
}

function descendants (pid) {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) => read(`/proc/${pid}/task/${task}/children`).split(' ').filter(Boolean)).flatMap((child) => [Number(child), ...existsSync(`/proc/${child}`) ? descendants(child) : []])
}

function sum (pids, pattern) {
  return pids.flatMap((pid) => [...read(`/proc/${pid}/status`).matchAll(pattern)]).reduce((total, [, value]) => total + Number(value), 0)
}

function read (path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function install () {
  mkdirSync(cache, { recursive: true })
  if (!existsSync(join(cache, 'package.json'))) writeFileSync(join(cache, 'package.json'), '{ "private": true }')
  const missing = Object.entries(packages).filter(([name, version]) => JSON.parse(read(join(cache, 'node_modules', name, 'package.json')) || '{}').version !== version)
  if (missing.length > 0) execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...missing.map((parts) => parts.join('@'))], { cwd: cache, stdio: ['ignore', 2, 2] })
  if (!existsSync(program('python'))) execFileSync('/usr/bin/python3', ['-m', 'venv', join(cache, 'venv')], { stdio: ['ignore', 2, 2] })
  const wheels = Object.entries(pythonPackages).map((parts) => parts.join('=='))
  if (!Object.keys(pythonPackages).every((name) => existsSync(program(name)))) execFileSync(program('pip'), ['install', '--quiet', ...wheels], { stdio: ['ignore', 2, 2] })
}

function prepare () {
  writeFileSync(join(files, 'hello.txt'), 'hello from a file\n')
  const git = (...args) => execFileSync('git', ['-C', repository, ...args], { stdio: ['ignore', 2, 2], env: { PATH: process.env.PATH, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' } })
  git('init', '--quiet')
  git('-c', 'user.name=a', '-c', 'user.email=a@example.com', 'commit', '--quiet', '--allow-empty', '-m', 'the first commit')
  if (isRoot) execFileSync('chown', ['-R', '65534:65534', work]) // whom a root gateway runs its cells as
}

function grant (name) {
  const path = join(work, name)
  mkdirSync(path)
  return path
}

/** A site on this machine that shows one page. */
async function website (page) {
  const server = createServer((_request, response) => response.setHeader('content-type', 'text/html').end(page))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://localhost:${server.address().port}/`, close: () => server.close() }
}
