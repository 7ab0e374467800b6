import { chmodSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'

import { resolveCommand } from '../../src/sandbox/command.ts'
import type { Resolved } from '../../src/sandbox/command.ts'
import { tooBroad } from '../../src/sandbox/grants.ts'
import { realHost } from '../../src/sandbox/host.ts'
import { project } from './cells.ts'

const folder = realpathSync(t.testdir())
const bin = join(folder, 'bin')
const config = join(folder, 'config')
const home = join(folder, 'home')

function write (path: string, content: string, mode = 0o644): string {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

function install (root: string, name: string, version: string, bins: unknown): string {
  return write(join(root, 'node_modules', name, 'package.json'), JSON.stringify({ name, version, bin: bins }))
}

/** Resolves on this machine, with `bin` as PATH and the gateway's own files in config/. */
function resolve (...command: string[]): Resolved {
  const host = { ...realHost(bin), home }
  return resolveCommand(command, config, host, (path) => tooBroad(path, { home, protect: [join(config, 'upstreams.yaml')] }))
}

mkdirSync(bin)
mkdirSync(home)
write(join(config, 'upstreams.yaml'), '')
const above = write(join(folder, 'package.json'), '{}')

t.test('npx means a package that is installed', async (t) => {
  install(config, 'tool', '1.4.2', './cli.js')
  install(folder, '@scope/many', '2026.8.31', { one: 'dist/one.js', many: 'dist/many.js' })
  install(folder, 'two', '1.0.0', { a: 'a.js', b: 'b.js' })
  const tool = join(config, 'node_modules/tool/cli.js')

  t.same(resolve('npx', '-y', 'tool', '--flag', '/data').argv, [process.execPath, tool, '--flag', '/data'])
  t.same(resolve('npx', '--yes', '--', 'tool', '-y').argv.slice(1), [tool, '-y'], 'what follows the package is its own')
  t.same(resolve('npx', '@scope/many').argv.slice(1), [join(folder, 'node_modules/@scope/many/dist/many.js')], 'a directory above the config; the program named like the package')
  t.same(resolve('npx', '-p', '@scope/many', 'one', 'x').argv.slice(1), [join(folder, 'node_modules/@scope/many/dist/one.js'), 'x'])
  t.match(resolve('npx', '-y', '@modelcontextprotocol/server-everything').argv[1], join(project, 'node_modules'), 'a package of Portcullis itself')

  for (const range of ['1.4.2', '^1.2.0', '~1.4.0', '1', '1.4', '1.x', '1.4.x', 'latest']) t.equal(resolve('npx', `tool@${range}`).argv[1], tool, range)
  for (const range of ['1.4.3', '^1.5.0', '~1.3.9', '2', '1.40', '^0.4.2', '>=1', '1.4.2-beta']) {
    t.throws(() => resolve('npx', `tool@${range}`), { message: `The package tool@${range} is not installed (installed: 1.4.2), and nothing is downloaded when an upstream starts. Run npm install tool@${range} in ${config}, then start it again.` })
  }
  t.throws(() => resolve('npx', '-y', 'absent'), { message: /The package absent is not installed, .* Run npm install absent in / })
  t.throws(() => resolve('npx', 'two'), { message: /has the programs a, b\. Write npx --package two <program>/ })
  t.throws(() => resolve('npx', '-p', 'two', 'c'), { message: /has the programs a, b, not c/ })
  t.throws(() => resolve('npx', '-c', 'rm -rf /'), { message: /With npx -c nothing says/ })
  t.throws(() => resolve('npx', '../evil'), { message: /is a folder or a file/ })
  t.throws(() => resolve('npx', 'https://example.com/x.tgz'), { message: /not the name of a package/ })
  t.throws(() => resolve('npx', '-y'), { message: /names no package/ })
})

t.test('what a program needs is visible, and no more', async (t) => {
  // The Node that runs this may lie outside /usr; then its own directory is there too.
  const own = resolve('node').visible
  t.same(resolve('/usr/bin/env').visible, [], 'the system is there anyway')

  const runtime = write(join(folder, 'runtimes/v9/bin/thing'), '\x7fELF', 0o755)
  t.same(resolve(runtime), { argv: [runtime], visible: [join(folder, 'runtimes/v9')], path: [dirname(runtime)], runtime: 'other' }, 'a runtime with its prefix')
  symlinkSync(runtime, join(bin, 'thing'))
  t.same(resolve('thing').argv, [runtime], 'found on PATH, through a link')
  t.same(resolve(write(join(home, 'bin/single'), '\x7fELF', 0o755)).visible, [join(home, 'bin/single')], 'never a whole home')
  t.same(resolve(write(join(folder, 'plain'), '\x7fELF', 0o755)).visible, [join(folder, 'plain')], 'a program outside of any bin alone')

  const script = write(join(folder, 'server/build/main.js'), '')
  t.same(resolve('node', '--no-warnings', script, '/data').visible, [...own, join(folder, 'server/build'), above, join(folder, 'node_modules')], 'a script with its directory and what it can import')
  write(join(folder, 'server/package.json'), '{}')
  t.same(resolve('node', '-r', './x.js', script).visible, [...own, join(folder, 'server/build'), join(folder, 'server/package.json'), join(folder, 'node_modules')], 'and the package.json that says what it is')
  t.same(resolve('node', write(join(config, 'own.mjs'), '')).visible.filter((path) => path.startsWith(config)), [join(config, 'own.mjs'), join(config, 'node_modules')], 'beside the config, the file alone')
  t.same(resolve('node', 'own.mjs').argv, [process.execPath, join(config, 'own.mjs')], 'relative to the config')
  const packaged = write(join(folder, 'app/node_modules/a/node_modules/b/cli.js'), '')
  t.same(resolve('node', packaged).visible, [...own, join(folder, 'app/node_modules')], 'in node_modules, the outermost')
  t.same(resolve('/usr/bin/python3', '-m', script).visible, [], 'a module is no script')
  t.same(resolve('node', '-e', script).visible, [...own], 'nor is code')
})

t.test('a script is run by the interpreter it names', async (t) => {
  const cli = write(join(folder, 'server/cli'), '#!/usr/bin/env -S node --no-warnings\n', 0o755)
  t.same(resolve(cli, 'x').argv, [process.execPath, '--no-warnings', cli, 'x'])
  t.equal(resolve(cli).runtime, 'node')
  const shell = write(join(folder, 'server/run'), '#!/bin/sh\n', 0o755)
  t.same(resolve(shell).argv, ['/bin/sh', shell])
  const circle = write(join(folder, 'circle'), `#!${join(folder, 'circle')}\n`, 0o755)
  t.throws(() => resolve(circle), { message: /which interpreter/ })
})

t.test('Python is found in its virtual environment and behind pyenv', async (t) => {
  const venv = join(folder, 'venv')
  write(join(venv, 'pyvenv.cfg'), '')
  mkdirSync(join(venv, 'bin'))
  symlinkSync('/usr/bin/python3', join(venv, 'bin/python'))
  t.match(resolve(join(venv, 'bin/python'), '-m', 'server'), { argv: [join(venv, 'bin/python'), '-m', 'server'], visible: [venv], runtime: 'python' })

  const pyenv = join(folder, '.pyenv')
  write(join(pyenv, 'version'), '3.11.7\n')
  const real = write(join(pyenv, 'versions/3.11.7/bin/python4'), '\x7fELF', 0o755)
  const older = write(join(pyenv, 'versions/3.9.1/bin/python4'), '\x7fELF', 0o755)
  symlinkSync(write(join(pyenv, 'shims/python4'), '#!/usr/bin/env bash\n', 0o755), join(bin, 'python4'))
  const host = { ...realHost(join(pyenv, 'shims')), home }
  const found = (): Resolved => resolveCommand(['python4'], config, host, () => undefined)
  t.match(found(), { argv: [real], visible: [join(pyenv, 'versions/3.11.7')] })
  write(join(config, '.python-version'), '3.9.1\n')
  t.match(found(), { argv: [older] }, 'the version that the directory asks for')
})

t.test('what cannot run is refused with what to do', async (t) => {
  t.throws(() => resolve('uvx', 'mcp-server-git'), { message: /uv pip install/ })
  t.throws(() => resolve('/usr/bin/docker', 'run', 'x'), { message: /give its address as url:/ })
  t.throws(() => resolve('pipx', 'run', 'x'), { message: /virtual environment/ })
  t.throws(() => resolve('no-such-program'), { message: 'The program "no-such-program" was not found on the gateway\'s PATH. Install it, or write its absolute path.' })
  t.throws(() => resolve('./missing'), { message: `There is no executable file at ${join(config, 'missing')}.` })
  t.throws(() => resolve(write(join(folder, 'not-executable'), '')), { message: /no executable file/ })
  t.throws(() => resolve(''), { message: /empty/ })
})
