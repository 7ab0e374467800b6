import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

import t from 'tap'
import ts from 'typescript'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** Which part of the tree a file belongs to. The first pattern that matches counts. */
const parts: readonly (readonly [part: string, files: RegExp])[] = [
  ['main', /^src\/(main|cli|welcome)\.ts$/],
  ['app', /^src\/app\.ts$/],
  ['commands', /^src\/commands\//],
  ['plugins', /^plugins\//],
  ['facts', /^src\/(call|errors)\.ts$/],
  ['core', /^src\//],
  ['db', /^db\//],
]

/** Arrows point one way: who may import whom. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  main: ['main', 'app', 'commands', 'plugins', 'core', 'facts', 'db'],
  app: ['plugins', 'core', 'facts', 'db'],
  commands: ['main', 'app', 'commands', 'plugins', 'core', 'facts', 'db'],
  plugins: ['plugins', 'core', 'facts', 'db'],
  core: ['core', 'facts', 'db'],
  facts: ['facts'],
  db: ['db'],
}

/** What may be used only in some places; everything else that imports or mentions it is a breach. */
const only: readonly { readonly what: string, readonly uses: (use: Use) => boolean, readonly files: RegExp }[] = [
  { what: 'fastify', uses: module(/^fastify$|^@fastify\//), files: /^plugins\/|^src\/app\.ts$/ },
  { what: 'kysely and pg', uses: module(/^(kysely|pg|pg-copy-streams)(\/|$)/), files: /^db\// },
  { what: 'node:child_process', uses: module(/^(node:)?child_process$/), files: /^src\/sandbox\/|^db\/embedded\.ts$/ },
  { what: 'db/', uses: ({ target }) => target?.startsWith('db/') === true, files: /^db\/|^src\/(identity|ledger|commands)\/|^src\/(app|main|cli)\.ts$|^plugins\// },
  { what: 'process.env', uses: ({ name }) => name === 'process.env', files: /^src\/config\// },
  { what: 'a module that does input or output', uses: module(/^(node:)?(fs|fs\/promises|net|http|https|http2|dgram|dns|tls|worker_threads)$|^undici$/), files: /^(?!src\/(protocol|policy|guard|call\.ts|errors\.ts))/ },
  { what: 'the MCP SDK at run time', uses: runtime(/^@modelcontextprotocol\/(sdk|client|server)(\/|$)/), files: /^$/ },
]

/** One import, or one mention of a global that is watched. */
interface Use { readonly file: string, readonly line: number, readonly name: string, readonly target?: string, readonly typeOnly: boolean }

t.test('the arrows between the parts point one way', async t => {
  t.strictSame(breachesOfArrows(uses()), [])
})

t.test('what belongs in one place is used in no other', async t => {
  t.strictSame(breachesOfOnly(uses()), [])
})

t.test('the folders of the core do not import each other in circles', async t => {
  t.strictSame(circles(uses()), [])
})

t.test('each rule finds a planted breach, with its file and line', async t => {
  t.strictSame(breachesOfArrows(read('src/policy/x.ts', "import { a } from '../call.ts'\nimport { b } from '../../plugins/health.ts'\n")), [
    'src/policy/x.ts:2 core may not import plugins (plugins/health.ts)',
  ])
  t.strictSame(breachesOfArrows(read('db/x.ts', "export { a } from '../src/log.ts'\n")), ['db/x.ts:1 db may not import core (src/log.ts)'])
  t.strictSame(breachesOfArrows(read('plugins/admin/x.ts', "import { a } from '../mcp/index.ts'\nimport type { b } from '../mcp/index.ts'\nimport type { c } from '../mcp/gate.ts'\n")), [
    'plugins/admin/x.ts:1 plugins do not import one another (plugins/mcp/index.ts)',
    'plugins/admin/x.ts:3 plugins do not import one another (plugins/mcp/gate.ts)',
  ])
  t.strictSame(breachesOfArrows(read('src/call.ts', "import { a } from './log.ts'")), ['src/call.ts:1 facts may not import core (src/log.ts)'])
  t.strictSame(breachesOfArrows(read('plugins/mcp/x.ts', "import { a } from './index.ts'\n")), [], 'one folder is one plugin')
  const planted: Record<string, string> = {
    fastify: "import fastify from 'fastify'",
    'kysely and pg': "const pg = await import('pg')",
    'node:child_process': "import { spawn } from 'child_process'",
    'db/': "import { a } from '../../db/users.ts'",
    'process.env': 'const home = process.env.HOME',
    'a module that does input or output': "import { readFileSync } from 'node:fs'",
    'the MCP SDK at run time': "import { Client } from '@modelcontextprotocol/client'",
  }
  for (const { what } of only) {
    t.strictSame(breachesOfOnly(read('src/policy/x.ts', `\n${planted[what] ?? ''}\n`)), [`src/policy/x.ts:2 ${what} is not for this file`], what)
  }
  t.strictSame(breachesOfOnly(read('src/policy/x.ts', "const { env } = process\nconst a = 'process.env' // process.env\n")), ['src/policy/x.ts:1 process.env is not for this file'])
  t.strictSame(circles([...read('src/a/x.ts', "import { b } from '../b/y.ts'"), ...read('src/b/y.ts', "import type { a } from '../a/x.ts'")]), ['src/a → src/b → src/a'])
})

function breachesOfArrows (all: readonly Use[]): string[] {
  return all.flatMap(({ file, line, target, typeOnly }) => {
    const [from, to] = [partOf(file), partOf(target)]
    // What a call gathers is described in the words of the parts that establish it; nothing of them is run.
    if (from === 'facts' && to === 'core' && typeOnly) return []
    if (from === undefined || to === undefined || target === undefined) return []
    if (!arrows[from]?.includes(to)) return [`${file}:${line} ${from} may not import ${to} (${target})`]
    return meetInside({ file, target, typeOnly }) ? [`${file}:${line} plugins do not import one another (${target})`] : []
  })
}

function breachesOfOnly (all: readonly Use[]): string[] {
  return all.flatMap(use => only
    .filter(({ uses, files }) => uses(use) && !files.test(use.file))
    .map(({ what }) => `${use.file}:${use.line} ${what} is not for this file`))
}

/** Types count too: two folders that need each other's types are one folder. */
function circles (all: readonly Use[]): string[] {
  const next = new Map<string, Set<string>>()
  for (const { file, target } of all) {
    const [from, to] = [folderOf(file), folderOf(target)]
    if (from !== undefined && to !== undefined && from !== to) next.set(from, (next.get(from) ?? new Set()).add(to))
  }
  const found = new Map<string, string>()
  const walk = (folder: string, path: readonly string[]): void => {
    const start = path.indexOf(folder)
    if (start !== -1) {
      const circle = path.slice(start)
      const name = [...circle].sort().join()
      if (!found.has(name)) found.set(name, [...circle, folder].join(' → '))
      return
    }
    for (const to of next.get(folder) ?? []) walk(to, [...path, folder])
  }
  for (const folder of next.keys()) walk(folder, [])
  return [...found.values()]
}

function partOf (file: string | undefined): string | undefined {
  return file === undefined ? undefined : parts.find(([, files]) => files.test(file))?.[0]
}

/** Plugins meet on decorators. What one may take from another is a type that its own file, or its index, shows to all. */
function meetInside ({ file, target, typeOnly }: { file: string, target: string, typeOnly: boolean }): boolean {
  if (partOf(file) !== 'plugins' || partOf(target) !== 'plugins' || pluginOf(file) === pluginOf(target)) return false
  return !(typeOnly && /^plugins\/([^/]+\.ts|[^/]+\/index\.ts)$/.test(target))
}

/** `plugins/mcp/…` is one plugin, and so is the file `plugins/health.ts`. */
function pluginOf (file: string): string | undefined {
  return file.split('/')[1]
}

function folderOf (file: string | undefined): string | undefined {
  if (file === undefined || partOf(file) !== 'core') return undefined
  return /^src\/[^/]+(?=\/)/.exec(file)?.[0]
}

function module (names: RegExp): (use: Use) => boolean {
  return ({ name }) => names.test(name)
}

/** Types cost nothing when the program runs, so they may come from anywhere. */
function runtime (names: RegExp): (use: Use) => boolean {
  return ({ name, typeOnly }) => names.test(name) && !typeOnly
}

function uses (): Use[] {
  return sources().flatMap(file => read(file, readFileSync(join(root, file), 'utf8')))
}

function sources (): string[] {
  return ['src', 'plugins', 'db'].flatMap(folder => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => posix.join(folder, name)))
}

function read (file: string, text: string): Use[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true)
  const found: Use[] = []
  const visit = (node: ts.Node): void => {
    const use = useOf(node)
    if (use !== undefined) {
      const line = source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1
      found.push({ file, line, ...use, ...(use.name.startsWith('.') && { target: posix.join(posix.dirname(file), use.name) }) })
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

function useOf (node: ts.Node): { name: string, typeOnly: boolean } | undefined {
  if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined && ts.isStringLiteral(node.moduleSpecifier)) {
    return { name: node.moduleSpecifier.text, typeOnly: ts.isImportDeclaration(node) ? node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword : node.isTypeOnly }
  }
  if (ts.isCallExpression(node) && (node.expression.kind === ts.SyntaxKind.ImportKeyword || node.expression.getText() === 'require')) {
    const [name] = node.arguments
    return name !== undefined && ts.isStringLiteral(name) ? { name: name.text, typeOnly: false } : undefined
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) return { name: node.argument.literal.text, typeOnly: true }
  return mentionsEnvironment(node) ? { name: 'process.env', typeOnly: false } : undefined
}

/** `process.env`, `process['env']` and `const { env } = process`. */
function mentionsEnvironment (node: ts.Node): boolean {
  if (ts.isPropertyAccessExpression(node)) return node.expression.getText() === 'process' && node.name.text === 'env'
  if (ts.isElementAccessExpression(node)) return node.expression.getText() === 'process' && /env/.test(node.argumentExpression.getText())
  return ts.isVariableDeclaration(node) && node.initializer?.getText() === 'process' && ts.isObjectBindingPattern(node.name) && /\benv\b/.test(node.name.getText())
}
