import { readFileSync } from 'node:fs'

import t from 'tap'
import { parse } from 'yaml'
import type { Principal, Target } from '../../src/call.ts'
import type { RoleSpec, RuleSpec } from '../../src/config/config.ts'
import { compilePolicy } from '../../src/policy/policy.ts'
import { PolicyError } from '../../src/policy/rules.ts'

type Line = string | Omit<RuleSpec, 'line'>

function roles (spec: Record<string, { allow?: Line[], deny?: Line[] }>): Map<string, RoleSpec> {
  let line = 0
  const rules = (lines: Line[] = []): RuleSpec[] => lines.map((rule) => ({ ...(typeof rule === 'string' ? { pattern: rule } : rule), line: ++line }))
  return new Map(Object.entries(spec).map(([name, { allow, deny }]) => [name, { name, allow: rules(allow), deny: rules(deny) }]))
}

function someone (...names: string[]): Principal {
  return { id: 'u-1', name: 'alice', roles: names, tokenId: 't', tokenKind: 'access', clientId: 'portcullis', scopes: null, expiresAt: 0 }
}

function scoped (scopes: string[], ...names: string[]): Principal {
  return { ...someone(...names), scopes }
}

function tool (text: string, kind: Target['kind'] = 'tool'): Target {
  const slash = text.indexOf('/')
  return { kind, upstream: text.slice(0, slash), name: text.slice(slash + 1) }
}

t.test('a call no rule names is denied', async (t) => {
  const policy = compilePolicy(roles({ user: { allow: ['files/read_*'] } }))
  t.same(policy.decide(someone('user'), tool('files/write_file'), {}), { allowed: false, rule: 'default' })
  t.same(policy.decide(someone(), tool('files/read_file'), {}), { allowed: false, rule: 'default' })
})

t.test('a decision names the rule that made it', async (t) => {
  const policy = compilePolicy(roles({ user: { allow: ['memory/*', 'files/read_*'], deny: ['files/read_secret'] } }))
  t.same(policy.decide(someone('user'), tool('files/read_file'), {}), { allowed: true, rule: 'user:1 files/read_*' })
  t.same(policy.decide(someone('user'), tool('files/read_secret'), {}), { allowed: false, rule: 'user:deny:0 files/read_secret' })
})

t.test('wildcards', async (t) => {
  const cases: [pattern: string, target: string, matches: boolean][] = [
    ['*/*', 'files/read', true],
    ['*/*', 'files/file:///a/b', true],
    ['files/*', 'files/file:///a/b.txt', true],
    ['files/file:///a/*', 'files/file:///a/b/c', true],
    ['files/file:///a/*', 'files/file:///b', false],
    ['files/read', 'files/read', true],
    ['files/read', 'files/read_file', false],
    ['files/read', 'files/Read', false],
    ['Files/read', 'files/read', false],
    ['files/*file', 'files/file', true],
    ['files/a*a', 'files/a', false],
    ['files/a*a', 'files/aa', true],
    ['files/ab*bc', 'files/abc', false],
    ['files/*a*b*', 'files/xaxbx', true],
    ['files/*a*b*', 'files/xbxax', false],
    ['files/*ab*b', 'files/ab', false],
    ['f*/read', 'files/read', true],
    ['f*/read', 'f/x/read', false],
    ['files/**', 'files/read', true],
    ['files/.', 'files/x', false],
    ['files/[a-z]+', 'files/read', false],
  ]
  for (const [pattern, target, matches] of cases) {
    const policy = compilePolicy(roles({ user: { allow: [pattern] } }))
    t.equal(policy.decide(someone('user'), tool(target), {}).allowed, matches, `${pattern} ${matches ? 'matches' : 'does not match'} ${target}`)
  }
})

t.test('a pattern of many wildcards against a hostile name is answered at once', async (t) => {
  const policy = compilePolicy(roles({ user: { allow: ['files/' + '*a'.repeat(100) + 'b'] } }))
  t.equal(policy.decide(someone('user'), tool('files/' + 'a'.repeat(1_000_000)), {}).allowed, false)
})

t.test('a bare pattern means tools, prompts and resources; a kind narrows it', async (t) => {
  const policy = compilePolicy(roles({
    all: { allow: ['files/*'] },
    tools: { allow: [{ kind: 'tool', pattern: 'files/*' }] },
    silent: { allow: ['files/*'], deny: [{ kind: 'prompt', pattern: '*/*' }] },
  }))
  for (const kind of ['tool', 'prompt', 'resource'] as const) {
    t.equal(policy.decide(someone('all'), tool('files/x', kind), {}).allowed, true)
    t.equal(policy.decide(someone('tools'), tool('files/x', kind), {}).allowed, kind === 'tool')
    t.equal(policy.decide(someone('silent'), tool('files/x', kind), {}).allowed, kind !== 'prompt')
  }
})

t.test('several roles add up, and a deny of any of them wins', async (t) => {
  const policy = compilePolicy(roles({ reader: { allow: ['files/read_*'] }, writer: { allow: ['files/write_*'] }, careful: { deny: ['files/write_*'] } }))
  t.equal(policy.decide(someone('reader', 'writer'), tool('files/read_file'), {}).allowed, true)
  t.equal(policy.decide(someone('reader', 'writer'), tool('files/write_file'), {}).allowed, true)
  t.equal(policy.decide(someone('reader', 'writer', 'careful'), tool('files/write_file'), {}).rule, 'careful:deny:0 files/write_*')
})

t.test('a role that is not configured grants nothing', async (t) => {
  const policy = compilePolicy(roles({ user: { allow: ['*/*'] } }))
  for (const name of ['ghost', 'constructor', '__proto__', 'USER', '*', '']) t.equal(policy.decide(someone(name), tool('files/x'), {}).allowed, false, name)
})

t.test('outside the scopes of its token a principal may do nothing', async (t) => {
  const policy = compilePolicy(roles({ user: { allow: ['files/*'], deny: ['files/delete'] } }))
  t.same(policy.decide(scoped(['files/read_*'], 'user'), tool('files/read_file'), {}), { allowed: true, rule: 'user:0 files/*' })
  t.same(policy.decide(scoped(['files/read_*'], 'user'), tool('files/write_file'), {}), { allowed: false, rule: 'token scope' })
  t.equal(policy.decide(scoped(['*/*'], 'user'), tool('memory/read'), {}).rule, 'default', 'a scope is no grant')
  t.equal(policy.decide(scoped(['*/*'], 'user'), tool('files/delete'), {}).rule, 'user:deny:0 files/delete')
  t.equal(policy.decide(scoped([], 'user'), tool('files/read_file'), {}).allowed, false, 'no scope at all')
  t.equal(policy.decide(scoped(['*', 'nonsense', ''], 'user'), tool('files/read_file'), {}).allowed, false, 'a scope that is no pattern')
})

t.test('an allow rule with a condition allows only what the condition says is true', async (t) => {
  const policy = compilePolicy(roles({ user: { allow: [{ pattern: 'files/write_file', where: 'args.path.startsWith("/data/" + principal.name + "/")' }] } }))
  const write = (args: unknown) => policy.decide(someone('user'), tool('files/write_file'), args).allowed
  t.equal(write({ path: '/data/alice/a.txt' }), true)
  t.equal(write({ path: '/data/bob/a.txt' }), false)
  t.equal(write({}), false, 'a missing argument')
  t.equal(write({ path: 7 }), false, 'an argument of another type')
  t.equal(write(null), false)
  t.equal(write(JSON.parse('{"__proto__":{"path":"/data/alice/x"}}')), false)
})

t.test('a condition sees the tool, the upstream and the roles', async (t) => {
  const policy = compilePolicy(roles({ user: { allow: [{ pattern: '*/*', where: 'tool == "read" && upstream == "files" && "user" in principal.roles && principal.id == "u-1"' }] } }))
  t.equal(policy.decide(someone('user'), tool('files/read'), {}).allowed, true)
  t.equal(policy.decide(someone('user'), tool('files/write'), {}).allowed, false)
  t.equal(policy.decide(someone('user'), tool('memory/read'), {}).allowed, false)
})

t.test('a condition whose value is not a truth value allows nothing and denies everything', async (t) => {
  const policy = compilePolicy(roles({ user: { allow: [{ pattern: 'files/a', where: 'args.ok' }, 'files/b'], deny: [{ pattern: 'files/b', where: 'args.no' }] } }))
  t.equal(policy.decide(someone('user'), tool('files/a'), { ok: true }).allowed, true)
  t.equal(policy.decide(someone('user'), tool('files/a'), { ok: 'true' }).allowed, false)
  t.equal(policy.decide(someone('user'), tool('files/b'), { no: false }).allowed, true)
  t.equal(policy.decide(someone('user'), tool('files/b'), { no: true }).allowed, false)
  t.equal(policy.decide(someone('user'), tool('files/b'), { no: 1 }).allowed, false)
  t.equal(policy.decide(someone('user'), tool('files/b'), {}).allowed, false)
})

t.test('a catalogue shows what may be callable, and a conditional deny does not hide it', async (t) => {
  const policy = compilePolicy(roles({ user: { allow: [{ pattern: 'files/write', where: 'args.x == 1' }, 'files/read'], deny: [{ pattern: 'files/read', where: 'args.x == 1' }, 'files/gone'] } }))
  t.equal(policy.decide(someone('user'), tool('files/write')).allowed, true)
  t.equal(policy.decide(someone('user'), tool('files/read')).allowed, true)
  t.equal(policy.decide(someone('user'), tool('files/gone')).allowed, false)
  t.equal(policy.decide(scoped(['files/read'], 'user'), tool('files/write')).allowed, false)
  t.equal(policy.decide(someone('user'), tool('files/read'), { x: 1 }).allowed, false, 'the call is decided on its arguments')
})

t.test('a call without arguments is a call, not a question for the catalogue', async (t) => {
  const policy = compilePolicy(roles({ user: { allow: [{ pattern: 'files/write', where: 'args.x == 1' }, { pattern: 'files/any', where: '!has(args.x)' }] } }))
  for (const args of [undefined, null, {}]) {
    t.equal(policy.decide(someone('user'), tool('files/write'), args).allowed, false)
    t.equal(policy.decide(someone('user'), tool('files/any'), args).allowed, true)
    t.equal(policy.explain(someone('user'), tool('files/write'), args).decision.allowed, false)
  }
  t.equal(policy.explain(someone('user'), tool('files/write')).decision.allowed, true)
})

t.test('a remembered decision is the decision for the same target only', async (t) => {
  const policy = compilePolicy(roles({ user: { allow: ['files/read', { pattern: 'files/write', where: 'args.ok == true' }] }, admin: { allow: ['*/*'] } }))
  for (let round = 0; round < 3; round++) {
    t.equal(policy.decide(someone('user'), tool('files/read'), {}).allowed, true)
    t.equal(policy.decide(someone('user'), tool('files/write'), { ok: round === 1 }).allowed, round === 1)
    t.equal(policy.decide(someone('user'), tool('memory/read'), {}).allowed, false)
    t.equal(policy.decide(someone('user'), tool('files/other', 'prompt'), {}).allowed, false)
    t.equal(policy.decide(someone('admin'), tool('memory/read'), {}).allowed, true)
    t.equal(policy.decide(scoped(['files/*'], 'admin'), tool('memory/read'), {}).allowed, false)
  }
  for (let index = 0; index < 20_000; index++) policy.decide(someone('user'), tool(`files/guess_${index}`), {})
  t.equal(policy.decide(someone('user'), tool('files/read'), {}).allowed, true, 'after more names than it remembers')
})

t.test('an upstream is reached when anything of it could be allowed', async (t) => {
  const policy = compilePolicy(roles({
    user: { allow: ['files/read_*', { kind: 'prompt', pattern: 'mem*/x' }] },
    admin: { allow: ['*/*'], deny: ['vault/*', { kind: 'tool', pattern: 'docs/*' }] },
  }))
  t.equal(policy.reaches(someone('user'), 'files'), true)
  t.equal(policy.reaches(someone('user'), 'memory'), true)
  t.equal(policy.reaches(someone('user'), 'vault'), false)
  t.equal(policy.reaches(someone('admin'), 'vault'), false)
  t.equal(policy.reaches(someone('admin'), 'docs'), true, 'its prompts are not denied')
  t.equal(policy.reaches(scoped(['files/*'], 'admin'), 'docs'), false)
  t.equal(policy.reaches(someone(), 'files'), false)
})

t.test('an explanation lists the rules in the order in which they were considered', async (t) => {
  const policy = compilePolicy(roles({ user: { allow: [{ pattern: 'files/*', where: 'args.x == 1' }, 'memory/*'], deny: ['files/delete'] } }))
  const { decision, steps } = policy.explain(scoped(['files/*'], 'user'), tool('files/read'), { x: 2 })
  t.same(decision, { allowed: false, rule: 'default' })
  t.same(steps.map(({ rule, applies }) => [rule, applies]), [
    ['user:deny:0 files/delete', false],
    ['token scope files/*', true],
    ['user:1 memory/*', false],
    ['user:0 files/*', false],
  ])
  t.match(steps[3]?.reason, 'the condition is false: args.x == 1')
  t.equal(steps[3]?.line, 1)
  t.match(policy.explain(someone('user'), tool('files/read'), {}).steps.at(-1)?.reason, /cannot be decided \(No such key: x\)/)
})

t.test('rules that cannot be enforced are refused together, each with its line', async (t) => {
  const broken = roles({ user: { allow: ['files', '*', 'files/', '/x', { pattern: 'files/a', where: 'args.path ==' }, { pattern: 'files/b', where: 'principal.nmae == "x"' }, { pattern: 'files/c', where: '"text"' }, 'files/ok'] } })
  const error = t.throws(() => compilePolicy(broken)) as unknown
  t.ok(error instanceof PolicyError)
  if (!(error instanceof PolicyError)) return
  t.same(error.problems.map(({ line }) => line), [1, 2, 3, 4, 5, 6, 7])
  t.match(error.problems[0]?.message, /write "upstream\/name"/)
  t.match(error.problems[5]?.message, /nmae/)
  t.match(error.problems[6]?.message, /type string/)
})

t.test('matches in a condition runs on the linear engine', async (t) => {
  const policy = compilePolicy(roles({
    user: {
      allow: [
        { pattern: 'files/evil', where: 'args.s.matches("^(a+)+$")' },
        { pattern: 'files/two', where: '(args.s + "x").matches("^ax$") && !args.s.matches( "b" ) && args.s != ".matches("' },
        { pattern: 'files/theirs', where: 'args.s.matches(args.pattern)' },
      ]
    }
  }))
  const decide = (name: string, args: unknown) => policy.decide(someone('user'), tool(`files/${name}`), args).allowed
  t.equal(decide('evil', { s: 'a'.repeat(50_000) + '!' }), false)
  t.equal(decide('evil', { s: 'aaa' }), true)
  t.equal(decide('two', { s: 'a' }), true)
  t.equal(decide('two', { s: 'b' }), false)
  t.equal(decide('theirs', { s: 'a'.repeat(50_000) + '!', pattern: '^(a|aa)+$' }), false)
  t.equal(decide('theirs', { s: 'abc', pattern: '(?=a)b' }), false, 'a pattern the engine does not know decides nothing')
})

t.test('the conditions in the documentation work', async (t) => {
  const text = readFileSync(new URL('../../docs/policy.md', import.meta.url), 'utf8')
  const conditions = [...text.matchAll(/^where: .*$/gm)].map(([line]) => (parse(line) as { where: string }).where)
  t.equal(conditions.length, 4)
  const policy = compilePolicy(roles({ user: { allow: conditions.map((where, index) => ({ pattern: `files/${index}`, where })) } }))
  const verdicts = (args: unknown) => conditions.map((_, index) => policy.decide(someone('user'), tool(`files/${index}`), args).allowed)
  t.same(verdicts({ path: '/data/x', environment: 'staging', limit: 100, branch: 'feature/x-1' }), [true, true, true, true])
  t.same(verdicts({ path: '/data/../x', environment: 'production', limit: 101, branch: 'feature/x/../y' }), [false, false, false, false])
  const arithmetic = compilePolicy(roles({ user: { allow: [{ pattern: 'files/x', where: 'args.width * 2.0 <= 100' }] } }))
  t.equal(arithmetic.decide(someone('user'), tool('files/x'), { width: 50 }).allowed, true)
})
