import { RE2JS } from 're2js'
import t from 'tap'

import type { GuardSpec } from '../../src/config/config.ts'
import { denyPatterns } from '../../src/config/deny-patterns.ts'
import { compilePatterns, GuardError, tooDeep, tooMuch } from '../../src/guard/patterns.ts'
import { prefilterOf, requiredPieces } from '../../src/guard/prefilter.ts'

const shell = '(?i)\\brm\\s+(?:-[a-z-]+\\s+)*-[a-z]*[rf]|\\bmkfs(?:\\.|\\b)|\\bdd\\s[^\\n]*\\bof=/dev/'
const traversal = '(?:^|[/\\\\])\\.\\.(?:[/\\\\]|$)'
const metadata = '(?i)169\\.254\\.169\\.254|metadata\\.google\\.internal'

const maxArguments = 1024 * 1024

function guards (...rules: [name: string, pattern: string, tool?: string | undefined][]): Pick<GuardSpec, 'deny' | 'maxArguments'> {
  return { maxArguments, deny: rules.map(([name, pattern, tool], index) => ({ name, pattern, in: 'arguments', ...(tool === undefined ? {} : { tool }), line: index + 1 })) }
}

const shipped = compilePatterns(guards(['shell', shell], ['traversal', traversal], ['metadata', metadata]))
const verdict = (args: unknown, tool = 'files/read') => shipped.check(args, tool)?.name ?? null

t.test('a deny pattern is found in every text and every key, at any depth', async (t) => {
  t.equal(verdict({ command: 'sudo rm -rf /' }), 'shell')
  t.equal(verdict({ a: [{ b: ['fine', { c: 'RM -Rf /' }] }] }), 'shell')
  t.equal(verdict({ 'http://169.254.169.254/latest': 1 }), 'metadata')
  t.equal(verdict({ path: '/data/../etc/passwd' }), 'traversal')
  t.equal(verdict({ path: '..' }), 'traversal')
  t.equal(verdict({ path: 'a\\..\\b' }), 'traversal')
  t.equal(verdict('mkfs.ext4 /dev/sda'), 'shell')
  t.equal(verdict({ content: 'x'.repeat(5000) + ' rm -rf / ' + 'y'.repeat(5000) }), 'shell')
})

t.test('harmless arguments pass', async (t) => {
  const harmless: unknown[] = [
    undefined, null, {}, [], 7, { path: '/data/a.txt', head: 3 }, { text: 'please perform a form, then confirm' }, { text: 'wait... what..' },
    { text: 'naïve café – 日本語 ✓' }, { text: '100% sure, 5%2 = 1' }, { text: 'x'.repeat(10_000) }, { command: 'rm file.txt' }, { version: '1..2' },
  ]
  for (const args of harmless) t.equal(verdict(args), null, JSON.stringify(args)?.slice(0, 60))
})

t.test('a disguise does not help', async (t) => {
  const disguised: [args: unknown, name: string][] = [
    [{ c: 'ｒｍ －ｒｆ /' }, 'shell'],
    [{ c: 'r\u200bm -r\u200df /' }, 'shell'],
    [{ c: 'rm\u00a0-rf /' }, 'shell'],
    [{ c: '\u202erm -rf\u202c /' }, 'shell'],
    [{ c: 'r\u00adm -rf /' }, 'shell'],
    [{ p: '%2e%2e%2fetc' }, 'traversal'],
    [{ p: 'a/%252e%252e/etc' }, 'traversal'],
    [{ p: 'a/%c0%ae%c0%ae/etc' }, 'traversal'],
    [{ p: 'a/..%c0%afetc' }, 'traversal'],
    [{ p: 'a/．．/etc' }, 'traversal'],
    [{ u: 'http://169%2e254.169.254/' }, 'metadata'],
    [{ u: 'http://①⑥⑨.254.169.254/' }, 'metadata'],
    [{ u: 'http://169。254。169。254/' }, 'metadata'],
    [{ '％2e%2e/x': 1, [`%2e%2e/${'é'}`]: 1 }, 'traversal'],
    [{ command: 'rm', args: ['-rf', '/'] }, 'shell'],
    [['rm', '-rf', '/'], 'shell'],
    [{ script: 'x'.repeat(500) + '; rm', args: ['-rf'] }, 'shell'],
    [{ script: 'rm', more: '-rf ' + 'x'.repeat(500) }, 'shell'],
  ]
  for (const [args, name] of disguised) t.equal(verdict(args), name, JSON.stringify(args).slice(0, 60))
})

t.test('a rule may look for what normalising removes', async (t) => {
  const { check } = compilePatterns(guards(['invisible', '\\x{200b}'], ['wide', 'ｒ']))
  t.same(check({ a: 'x\u200by' }, 'a/b'), { name: 'invisible' })
  t.same(check({ a: 'ｒ' }, 'a/b'), { name: 'wide' })
})

t.test('a text is looked at by itself: the start of one is not the start of another', async (t) => {
  const { check } = compilePatterns(guards(['start', '^secret'], ['end', 'key$'], ['whole', '\\Aonly\\z'], ['across', 'a\\nb']))
  t.same(check({ a: 'x', b: 'secret' }, 'a/b'), { name: 'start' })
  t.equal(check({ a: 'x\nsecret', b: 'no' }, 'a/b'), null)
  t.same(check({ a: 'a key', b: 'x' }, 'a/b'), { name: 'end' })
  t.same(check({ a: 'x', b: 'only' }, 'a/b'), { name: 'whole' })
  t.equal(check({ a: 'only one', b: 'not only' }, 'a/b'), null)
  t.equal(check({ a: 'a', b: 'b' }, 'a/b'), null)
})

t.test('a command in pieces is also looked at as the line it makes', async (t) => {
  const { check } = compilePatterns(guards(['literal', 'rm -rf'], ['dot', 'del.\\*']))
  t.same(check({ command: 'rm', args: ['-rf', '/'] }, 'a/b'), { name: 'literal' })
  t.same(check(['del', '*.*'], 'a/b'), { name: 'dot' })
  t.equal(check({ rm: 1, '-rf': 2 }, 'a/b'), null, 'names of members are no pieces')
})

t.test('a rule for one tool leaves the others alone', async (t) => {
  const { check } = compilePatterns(guards(['sql', '(?i)drop\\s+table', 'db/query*'], ['all', 'evil']))
  t.same(check({ q: 'DROP TABLE x' }, 'db/query_rw'), { name: 'sql' })
  t.equal(check({ q: 'DROP TABLE x' }, 'db/explain'), null)
  t.equal(check({ q: 'DROP TABLE x' }, 'files/query'), null)
  t.same(check({ q: 'evil' }, 'files/query'), { name: 'all' })
  t.same(check({ q: 'evil' }, 'no slash'), { name: 'all' })
})

t.test('rules that make no pattern together are asked one after the other', async (t) => {
  for (const tool of [undefined, 'files/*']) {
    const patterns = compilePatterns(guards(['one', '(?P<what>foo)', tool], ['other', '(?P<what>bar)'], ['open', '\\Qba(z']))
    t.same(['a foo', 'a bar', 'a ba(z', 'nothing'].map((text) => patterns.check({ text }, 'files/read')?.name), ['one', 'other', 'open', undefined])
  }
})

t.test('without rules everything passes', async (t) => {
  t.equal(compilePatterns(guards()).check({ c: 'rm -rf /' }, 'a/b'), null)
})

t.test('arguments nested too deeply to be looked through are blocked', async (t) => {
  let deep: unknown = 'x'
  for (let level = 0; level < 200; level++) deep = [deep]
  t.equal(verdict(deep), tooDeep)
})

t.test('hostile text meets a linear engine', async (t) => {
  const { check } = compilePatterns(guards(['evil', '(a+)+$'], ['words', '(x+x+)+y']))
  t.equal(check({ s: 'a'.repeat(50_000) + '!' + 'x'.repeat(50_000) }, 'a/b'), null)
  t.equal(verdict({ s: 'rm -a '.repeat(10_000) + '../'.repeat(10_000) }), 'traversal')
})

t.test('arguments that would be looked at in too many forms are refused, never passed', async (t) => {
  const disguised = Array.from({ length: 200 }, (_, index) => `%2541é${index}`)
  const { check } = compilePatterns({ ...guards(['line', '^evil']), maxArguments: 4000 })
  t.same(check({ lines: 'x\nevil', disguised }, 'a/b'), { name: tooMuch }, 'a false alarm, and then more to look at than these arguments deserve')
  t.same(check({ disguised, word: 'evil' }, 'a/b'), { name: tooMuch }, 'what comes after the work has ended is not let pass')
  t.equal(check({ disguised }, 'a/b'), null, 'without an alarm, one look at all of them is enough')
  t.equal(check({ lines: `x\nevil ${'plain text '.repeat(350)}` }, 'a/b'), null, 'plain text up to the largest size is far from that')
  t.equal(check({ lines: ['x\nevil', ...'plain text '.repeat(30).split(' ')] }, 'a/b'), null)
})

t.test('keys side by side are not looked at as a line', async (t) => {
  const disguised = Array.from({ length: 200 }, (_, index) => `%2541é${index}`)
  const { check } = compilePatterns({ deny: denyPatterns, maxArguments: 4000 })
  t.equal(check({ rm: 1, '-rf': 2, '/': 3, disguised }, 'a/b'), null, 'the look at each text would have been too much')
})

t.test('marks without end on one letter do not stop the gateway, and hide nothing', async (t) => {
  const marks = '\u0316\u0301'.repeat(50_000)
  t.equal(verdict({ s: `e${marks}` }), null)
  t.equal(verdict({ s: `ｒｍ -rf / ${marks}` }), 'shell')
  t.equal(verdict({ s: `rm -rf ${'\uff9e\u0301'.repeat(50_000)}` }), 'shell')
})

t.test('patterns that cannot be enforced are refused together, each with its line', async (t) => {
  const error = t.throws(() => compilePatterns(guards(['look', '(?=a)b'], ['back', '(a)\\1'], ['fine', 'x'], ['open', '('], ['tool', 'x', 'files']))) as unknown
  t.ok(error instanceof GuardError)
  if (error instanceof GuardError) t.same(error.problems.map(({ name, line }) => [name, line]), [['look', 1], ['back', 2], ['open', 4], ['tool', 5]])
})

t.test('the prefilter keeps what every match must contain', async (t) => {
  const cases: [pattern: string, pieces: string[] | undefined][] = [
    [shell, ['\\brm\\s', '\\bmkfs', '\\bof\\=\\/dev\\/']],
    [traversal, ['\\.\\.']],
    ['ab?cd', ['cd']],
    ['ab+c', ['ab']],
    ['a{2,3}bcd', ['bcd']],
    ['a{0,3}bcd?', ['bc']],
    ['(abc)?d', ['d']],
    ['(?:abc|de)f+', ['abc', 'de']],
    ['(?P<n>abc)[xyz]', ['abc']],
    ['(?<=abc)d', ['d']],
    ['[a-z]+', undefined],
    ['abc|[0-9]', undefined],
    ['(a|b*)c|d', ['c', 'd']],
    ['\\x41b\\x{63}', ['abc']],
    ['\\101bc', undefined],
    ['[[:alpha:]]x', undefined],
    ['ABC', ['abc']],
    ['é', undefined],
    ['', undefined],
  ]
  for (const [pattern, pieces] of cases) t.same(requiredPieces(pattern)?.map(({ source }) => source), pieces, pattern)
})

t.test('the prefilter never rules out a text that matches', async (t) => {
  const pick = random(7)
  const atoms = ['a', 'B', '\\.', '.', '\\s', '\\b', '[ab]', '[^a]', '(?:a|bc)', '(?i:Ab)', '(b)?', '(?:c|)', '^', '$', '/', '\\w', '\\n', 'ab', '(?:a(?:b|c)d|B)']
  const repeats = ['', '', '', '', '*', '+', '?', '{2}', '{0,2}', '+?']
  let matches = 0
  for (let round = 0; round < 3000; round++) {
    const sequence = () => Array.from({ length: 1 + pick(4) }, () => atoms[pick(atoms.length)] + (repeats[pick(repeats.length)] ?? '')).join('')
    const pattern = pick(3) === 0 ? `${sequence()}|${sequence()}` : sequence()
    const prefilter = compiles(pattern) ? prefilterOf([pattern]) : undefined
    if (prefilter === undefined) continue
    const regex = RE2JS.compile(pattern)
    for (let index = 0; index < 10; index++) {
      const text = Array.from({ length: pick(8) }, () => 'aAbBcd./ \n'.charAt(pick(10))).join('')
      if (!regex.test(text)) continue
      matches++
      if (!prefilter.test(text.toLowerCase())) t.fail(`${pattern} matches ${JSON.stringify(text)}`)
    }
  }
  t.ok(matches > 1000, `${matches} matches were compared`)
})

t.test('the shipped patterns have a prefilter, and leave ordinary arguments alone', async (t) => {
  t.not(prefilterOf(denyPatterns.map(({ pattern }) => pattern)), undefined)
  const { check } = compilePatterns({ deny: denyPatterns, maxArguments })
  const code = 'import { a } from "../b.ts"\n\nfunction f (x) {\n  return x > 1 ? a(x) : [...x]\n}\n'
  for (const args of [{ path: '/data/a.txt' }, { path: '/src/a.ts', content: code }, { command: 'rm -rf build && npm test' }, { text: 'été 100%' }]) t.equal(check(args, 'files/x'), null, JSON.stringify(args))
  t.same(check({ command: 'rm', args: ['-rf', '/'] }, 'shell/run'), { name: 'destructive-command' })
  t.same(check({ path: '/data/%2e%2e/%2e%2e/etc/passwd' }, 'files/x'), { name: 'path-traversal' })
  t.same(check({ url: 'http://169.254.169.254/latest/meta-data' }, 'web/fetch'), { name: 'metadata-address' })
})

function compiles (pattern: string): boolean {
  try {
    RE2JS.compile(pattern)
    return true
  } catch {
    return false
  }
}

/** The same numbers at every run (mulberry32). */
function random (seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0
    let x = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) % below
  }
}
