/**
 * Makes a fresh clone ready to run: dependencies, the sandbox's tools, the compiled program. Each step looks first and
 * does nothing when there is nothing to do, so that a second run costs a fraction of a second.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, chmodSync, constants, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

const MINIMUM_NODE = [20, 19]

/** Every step in order. Ends the process with one clear message when a step that is needed cannot be done. */
export function setup () {
  checkNode()
  installDependencies()
  installTools()
  build()
}

function checkNode () {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const [needMajor, needMinor] = MINIMUM_NODE
  if (major > needMajor || (major === needMajor && minor >= needMinor)) return
  fail(`Portcullis needs Node.js ${MINIMUM_NODE.join('.')} or newer; this is ${process.version}. Node.js 24 is a good choice: https://nodejs.org/`)
}

/** npm writes what it installed into node_modules/.package-lock.json, at the end: comparing that file is the proof. */
function installDependencies () {
  const wanted = readJson('package-lock.json')?.packages
  if (wanted === undefined) fail('package-lock.json is missing or broken: this is not a complete copy of the project.')
  const installed = readJson('node_modules/.package-lock.json')?.packages
  if (installed !== undefined && isInstalled(wanted, installed)) return
  say('installing dependencies (npm ci)')
  const status = npm(['ci', '--no-audit', '--no-fund'])
  if (status !== 0) fail(`npm ci failed (exit code ${status}). With no network, run it once on a connected machine; what npm said is above.`, status)
}

/** A package for another platform may be absent; anything present must be the very version, and nothing else may be there. */
function isInstalled (wanted, installed) {
  const same = ([path, { version, integrity, optional }]) => {
    const found = installed[path]
    if (found === undefined) return optional === true
    return found.version === version && (integrity === undefined || found.integrity === integrity)
  }
  return Object.entries(wanted).filter(([path]) => path !== '').every(same) &&
    Object.keys(installed).every(path => wanted[path] !== undefined)
}

/** npm is run by the Node that runs this, also where several are installed. */
function npm (args) {
  const cli = process.env.npm_execpath
  const viaNode = cli !== undefined && /\.c?js$/.test(cli)
  return run(viaNode ? process.execPath : 'npm', viaNode ? [cli, ...args] : args)
}

/** Programs the sandbox is made of → the package that brings each, by package manager. */
const TOOLS = [
  { program: 'bwrap', package: 'bubblewrap' },
  { program: 'socat', package: 'socat' },
  { program: 'prlimit', package: 'util-linux' },
]
const MANAGERS = [
  { program: 'apt-get', install: ['apt-get', 'install', '-y', '--no-install-recommends'], refresh: ['apt-get', 'update'] },
  { program: 'dnf', install: ['dnf', 'install', '-y'] },
  { program: 'apk', install: ['apk', 'add', '--no-cache'] },
  { program: 'pacman', install: ['pacman', '-S', '--noconfirm', '--needed'], refresh: ['pacman', '-Sy'] },
  { program: 'zypper', install: ['zypper', '--non-interactive', 'install'] },
]
const NOTE = 'node_modules/.cache/portcullis/tools-failed'
const RETRY_MS = 24 * 3600 * 1000

/** Missing tools do not stop anything here: the gateway itself refuses to start a server it cannot confine. */
function installTools () {
  if (process.platform !== 'linux') return
  const missing = TOOLS.filter(({ program }) => !isOnPath(program)).map(tool => tool.package)
  if (missing.length === 0) return
  const manager = MANAGERS.find(({ program }) => isOnPath(program))
  if (manager === undefined) return say(`the sandbox needs ${missing.join(' and ')}, and no package manager known here is installed: install them by hand`)
  const command = [...(isRoot() ? [] : ['sudo']), ...manager.install, ...missing].join(' ')
  if (!mayElevate() || failedLately()) return say(`the sandbox needs ${missing.join(' and ')}. Run: ${command}`)
  say(`installing what the sandbox needs: ${command}`)
  if (elevate([...manager.install, ...missing])) return
  if (manager.refresh !== undefined && elevate(manager.refresh) && elevate([...manager.install, ...missing])) return
  remember(NOTE, '')
  say(`that did not work. Until it does, no server can be started confined. Run: ${command}`)
}

function isRoot () {
  return process.getuid?.() === 0
}

function mayElevate () {
  return isRoot() || (isOnPath('sudo') && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore', timeout: 10_000 }).status === 0)
}

function elevate (command) {
  const [program, ...args] = isRoot() ? command : ['sudo', '-n', ...command]
  return run(program, args, { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, timeout: 300_000 }) === 0
}

function failedLately () {
  const file = join(root, NOTE)
  return existsSync(file) && Date.now() - statSync(file).mtimeMs < RETRY_MS
}

const SOURCES = ['src', 'plugins', 'db']
const STAMP = 'dist/.stamp'

/** Compiles when a source, the compiler or its settings differ from what dist/ was made of. */
export function build () {
  const files = SOURCES.flatMap(sourcesIn)
  const stamp = stampOf([...files, 'tsconfig.json', 'tsconfig.build.json', 'node_modules/typescript/package.json'])
  if (existsSync(join(root, 'dist/src/cli.js')) && readText(STAMP) === stamp) return
  say('compiling to dist/')
  const status = run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'])
  if (status !== 0) fail('the program does not compile; the compiler said why, above.', status)
  for (const file of files.filter(name => !name.endsWith('.ts'))) cpSync(join(root, file), join(root, 'dist', file))
  removeOrphans()
  chmodSync(join(root, 'dist/src/cli.js'), 0o755)
  remember(STAMP, stamp)
}

/** A module whose source is gone must not be importable any more. */
function removeOrphans () {
  for (const file of SOURCES.map(folder => join('dist', folder)).filter(folder => existsSync(join(root, folder))).flatMap(sourcesIn)) {
    const source = file.replace(/^dist./, '')
    if (!existsSync(join(root, source)) && !existsSync(join(root, source.replace(/\.js$/, '.ts')))) rmSync(join(root, file))
  }
}

function sourcesIn (folder) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath ?? entry.path, entry.name).slice(root.length + 1))
    .sort()
}

function stampOf (files) {
  const hash = createHash('sha256')
  for (const file of files) {
    const { size, mtimeMs } = statSync(join(root, file))
    hash.update(`${file}\0${size}\0${mtimeMs}\n`)
  }
  return hash.digest('hex')
}

/** Runs in the project's folder with the terminal of this process; returns the exit code. */
export function run (program, args, options = {}) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options })
  if (error !== undefined) say(`${program}: ${error.message}`)
  return status ?? 1
}

function isOnPath (program) {
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].some(folder => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return folder !== ''
    } catch {
      return false
    }
  })
}

function readText (file) {
  try {
    return readFileSync(join(root, file), 'utf8')
  } catch {
    return undefined
  }
}

function readJson (file) {
  try {
    return JSON.parse(readText(file) ?? '')
  } catch {
    return undefined
  }
}

function remember (file, text) {
  mkdirSync(dirname(join(root, file)), { recursive: true })
  writeFileSync(join(root, file), text)
}

function say (text) {
  process.stderr.write(`setup: ${text}\n`)
}

function fail (text, status = 1) {
  say(text)
  process.exit(status)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setup()
