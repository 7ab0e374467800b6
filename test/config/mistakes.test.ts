/* eslint-disable no-template-curly-in-string -- "${…}" is the syntax of references */
import { join } from 'node:path'
import { test } from 'tap'

import { ConfigError, loadConfig } from '../../src/config/config.ts'
import type { Test } from 'tap'

/** The problems of a file, each as `line:column path: message`. */
function problemsOf (t: Test, text: string | Uint8Array, env: NodeJS.ProcessEnv = {}): string[] {
  const directory = t.testdir({ 'upstreams.yaml': typeof text === 'string' ? text : Buffer.from(text) })
  try {
    loadConfig({ PORTCULLIS_CONFIG: join(directory, 'upstreams.yaml'), ...env })
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`)
  }
}

/** Name of the case → file, and how its only problem begins. `…` in a file is one fine upstream `files`. */
type Cases = Readonly<Record<string, readonly [file: string, problem: string]>>

const fine = 'upstreams: { files: { command: server } }\n'

function expectOne (t: Test, cases: Cases): void {
  for (const [name, [file, expected]] of Object.entries(cases)) {
    const problems = problemsOf(t, file.replace('…', fine))
    t.equal(problems.length, 1, `${name}: ${problems.join(' | ')}`)
    t.ok(problems[0]?.startsWith(expected), `${name}: ${problems[0]}`)
  }
}

test('a file that is not proper YAML is refused at the place of the mistake', async (t) => {
  expectOne(t, {
    empty: ['', '1:1 : is empty: it needs at least "upstreams"'],
    'only comments': ['# nothing\n', '1:1 : is empty'],
    'a tab': ['upstreams:\n\ta: { command: x }\n', '2:1 : a tab is used as indentation: YAML allows only spaces there'],
    'a key twice': ['upstreams:\n  a: { command: x }\n  a: { command: y }\n', '3:3 : duplicate key a: keep one of them'],
    'a key twice further in': ['upstreams:\n  a: { command: x, command: y }\n', '2:20 : duplicate key command'],
    'two documents': [`${fine}---\n${fine}`, '2:1 : a second document begins here'],
    'an unknown anchor': ['…roles:\n  user: { allow: [*/*] }\n', '3:19 : "*/*" refers to an anchor that does not exist: a value that begins with * must stand in quotes'],
    'an anchor within itself': ['upstreams: &a { a: *a }\n', '1:20 : "*a" refers to a value that contains it'],
    'a reference without quotes': ['upstreams:\n  a: { command: x, env: { T: ${secret:x} } }\n', '2:31 : inside [ ] or { } a reference must stand in quotes'],
    'a pattern in double quotes': ['…guards: { deny: [{ name: a, pattern: "\\s" }] }\n', '2:39 : this backslash means something else inside "double quotes"'],
    'a tag': ['upstreams: !include other.yaml\n', '1:12 : unresolved tag: !include: YAML tags are not used here'],
    'a merge key': ['upstreams: { <<: {} }\n', '1:14 : merge keys ("<<") are not supported'],
    'a list as a key': ['? [a]\n: 1\n', '1:3 : a key must be plain text'],
    'deep brackets': [`upstreams: ${'['.repeat(20_000)}`, '1:1 : nests brackets too deeply'],
    'deep lists': ['- '.repeat(20_000), '1:1 : nests lists too deeply'],
    'deep mappings': [Array.from({ length: 5000 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n').slice(0, 900_000), ''],
    'an alias bomb': [`a: &a [${'1,'.repeat(20)}]\n${[...'bcdefgh'].map((name, index) => `${name}: &${name} [${Array(20).fill(`*${'abcdefgh'[index]}`).join(',')}]`).join('\n')}\n`, '1:1 : the aliases of this file cannot be expanded'],
    'too large': [`${fine}#${'x'.repeat(2 ** 20)}`, '1:1 : is larger than 1024 KiB'],
    'a NUL character': [`${fine}# \0`, '1:1 : contains a NUL character'],
  })
  t.match(problemsOf(t, new Uint8Array([0x61, 0xff])), [/^1:1 : is not valid UTF-8/])
  t.same(problemsOf(t, `\uFEFF${fine}`), [], 'a byte order mark is harmless')
  t.same(problemsOf(t, 'upstreams: { a: { command: &c x }, b: { command: *c } }'), [], 'and so is an honest alias')
})

test('a file of the wrong shape is told what was expected, and the nearest known name', async (t) => {
  expectOne(t, {
    'a list': ['[]', '1:1 : must be a mapping with at least "upstreams", got an empty list'],
    'no upstreams': ['limits: []', '1:1 : needs the key "upstreams"'],
    'no upstream in them': ['upstreams: {}', '1:12 upstreams: is empty: it needs at least one entry'],
    'nothing in a section': ['…limits:\n', '2:8 limits: is empty: give it a value, or remove the key (it must be a list)'],
    'two upstreams that look alike': ['upstreams:\n  files: { command: x }\n  fi1es: { command: y }\n', '3:3 upstreams.fi1es: looks like "files": people and models could not tell the two apart. Rename one of them'],
    'an unknown section': ['…limit: []\n', '2:1 : unknown key "limit" – did you mean "limits"?'],
    'a registry in the clear': ['…packages: { npm: "http://npm.example.com" }\n', '2:18 packages.npm: must begin with https://. Only a private address may do without'],
    'a registry with a password': ['…packages: { pypi: "https://a:b@pypi.example.com" }\n', '2:19 packages.pypi: must hold no credentials: an installation is given no secrets'],
    'an unknown section like no other': ['…zzz: []\n', '2:1 : unknown key "zzz"; known are upstreams, roles, limits, guards, instances, audit, server'],
    'an unknown key': ['upstreams:\n  a:\n    command: x\n    timeot: 1\n', '4:5 upstreams.a: unknown key "timeot" – did you mean "timeouts"?'],
    'a mistyped required key': ['upstreams:\n  a: { comand: x }', '2:8 upstreams.a: unknown key "comand" – did you mean "command"?'],
    'no command': ['upstreams:\n  a: { args: [] }', '2:3 upstreams.a: needs the key "command"'],
    'the key of another program': ['mcpServers: {}\nupstreams: { a: { command: x } }', '1:1 : unknown key "mcpServers": put its entries under "upstreams"'],
    'a prototype': ['…__proto__: { a: 1 }\n', '2:1 : unknown key "__proto__"'],
    'a prototype as an upstream': ['upstreams: { a: { command: x }, __proto__: { command: x } }', '1:33 upstreams: "__proto__" is not an upstream name'],
    'a name in capitals': ['upstreams: { GitHub: { command: x } }', '1:14 upstreams: "GitHub" is not an upstream name (lower-case letters, digits and hyphens, at most 32)'],
    'names that differ in case only': ['upstreams: { a: { command: x }, A: { command: x } }', '1:33 upstreams: "A" is not an upstream name (lower-case letters, digits and hyphens, at most 32), and differs from "a" only in case'],
    'a name with an underscore': ['upstreams: { a_b: { command: x } }', '1:14 upstreams: "a_b" is not'],
    'a number where text belongs': ['upstreams: { a: { command: x, env: { A: 12345 } } }', '1:41 upstreams.a.env.A: must be text, got a number: put it in quotes'],
    'a wrong word': ['upstreams: { a: { command: x, isolation: usr } }', '1:42 upstreams.a.isolation: must be one of user, session, shared, got "usr" – did you mean "user"?'],
    'a text for a list': ['upstreams: { a: { command: x, sandbox: { read: /srv/x } } }', '1:48 upstreams.a.sandbox.read: must be a list, got "/srv/x"'],
    'an item of the wrong kind': ['upstreams: { a: { command: [x, 1] } }', '1:32 upstreams.a.command[1]: must be text, got a number: put it in quotes'],
    'a wrong branch': ['upstreams: { a: { command: x, sandbox: nne } }', '1:40 upstreams.a.sandbox: must be "none" or a mapping of grants and limits, got "nne" – did you mean "none"?'],
    'a rule of the wrong kind': ['…roles: { user: { allow: [5] } }', '2:26 roles.user.allow[0]: must be a pattern such as "files/read_*", or a mapping'],
    'a misspelt rule': ['…roles: { user: { allow: [{ tol: files/x }] } }', '2:28 roles.user.allow[0]: unknown key "tol" – did you mean "tool"?'],
  })
  t.notMatch(problemsOf(t, 'upstreams: { a: { command: x, env: { TOKEN: 987654321 } } }').join(), /987654321/, 'what may be a secret is not repeated')
})

test('sizes, durations and counts that make no sense are refused', async (t) => {
  const size = (value: string): string => `…server: { max_body: ${value} }`
  expectOne(t, {
    'a foreign unit': [size('512MB'), '2:21 server.max_body: must be a size such as 64KiB, 512MiB, 1GiB or a number of bytes, got "512MB" – did you mean "512MiB"?'],
    'a short unit': [size('64k'), '2:21 server.max_body: must be a size such as 64KiB, 512MiB, 1GiB or a number of bytes, got "64k" – did you mean "64KiB"?'],
    'a negative size': [size('-5MiB'), '2:21 server.max_body: must be larger than 0, got "-5MiB"'],
    'a negative number': [size('-5'), '2:21 server.max_body: must be larger than 0, got -5'],
    'a fraction': [size('0.5GiB'), '2:21 server.max_body: must be a whole number of a smaller unit'],
    'no size at all': [size('lots'), '2:21 server.max_body: must be a size such as'],
    'zero with a unit': [size('0MiB'), '2:21 server.max_body: must be larger than 0'],
    'too little memory': ['upstreams: { a: { command: x, sandbox: { memory: 1KiB } } }', '1:50 upstreams.a.sandbox.memory: must be at least 16MiB'],
    'a server that wants to go first': ['upstreams: { a: { command: x, sandbox: { nice: -5 } } }', '1:48 upstreams.a.sandbox.nice: must be a whole number from 0 to 19, got -5'],
    'too many processes': ['upstreams: { a: { command: x, sandbox: { processes: 0 } } }', '1:53 upstreams.a.sandbox.processes: must be a whole number from 1 to 4096, got 0'],
    'a duration without a unit': ['upstreams: { a: { command: x, timeouts: { call: 5 } } }', '1:49 upstreams.a.timeouts.call: must be a duration such as 500ms, 30s, 10m, 1h or 400d, got 5'],
    'no time at all': ['upstreams: { a: { command: x, timeouts: { call: 0s } } }', '1:49 upstreams.a.timeouts.call: must be longer than 0 and at most 24d, got "0s"'],
    'longer than a timer': ['upstreams: { a: { command: x, timeouts: { idle: 25d } } }', '1:49 upstreams.a.timeouts.idle: must be longer than 0 and at most 24d'],
    'no calls': ['…limits: [{ calls: 0, per: hour }]', '2:19 limits[0].calls: must be at least 1: a limit of 0 would refuse every call. To forbid a tool, name it in roles.<role>.deny'],
    'an unknown period': ['…limits: [{ calls: 1, per: hours }]', '2:27 limits[0].per: must be second, minute, hour, day or a duration such as 30s, got "hours" – did you mean "hour"?'],
    'a tiny period': ['…limits: [{ calls: 1, per: 5ms }]', '2:27 limits[0].per: must be from 1s to 400d, got "5ms"'],
    'no period': ['…limits: [{ calls: 1 }]', '2:10 limits[0]: needs the key "per"'],
    'counted by nothing': ['…limits: [{ calls: 1, per: hour, by: [] }]', '2:37 limits[0].by: must be a list with at least one entry, got an empty list'],
    'counted twice': ['…limits: [{ calls: 1, per: hour, by: [user, user] }]', '2:37 limits[0].by: names the same thing twice'],
    'a limit for nobody': ['…limits: [{ calls: 1, per: hour, tool: fils/* }]', '2:39 limits[0].tool: the pattern "fils/*" names the upstream "fils", which does not exist – did you mean "files"?'],
    'a path that leads nowhere': ['…audit: { redact: ["$.a..b"] }', '2:19 audit.redact[0]: the path "$.a..b" is not like $.customer.email or $.items.*.iban'],
    'payloads of a mistyped upstream': ['…audit: { payloads: [{ keep: full, tool: fils/* }] }', '2:41 audit.payloads[0].tool: the pattern "fils/*" names the upstream "fils", which does not exist – did you mean "files"?'],
    'payloads without a bound': ['…audit: { payloads: [{ keep: full, max: 2MiB }] }', '2:40 audit.payloads[0].max: must be at most 1MiB'],
    'one sink twice': ['…audit: { sinks: [{ url: "https://a.example" }, { url: "https://a.example" }] }', '2:55 audit.sinks[1].url: is the address of an earlier sink'],
    'a token for syslog': ['…audit: { sinks: [{ url: "syslog+tcp://a", token_file: x }] }', '2:55 audit.sinks[0].token_file: is for http:// and https:// only'],
    'a tiny spool': ['…audit: { spool_max: 5 }', '2:21 audit.spool_max: must be at least 1MiB'],
  })
})

test('a command must be something that can be run without a shell', async (t) => {
  const command = (text: string): string => `upstreams:\n  a:\n    command: ${text}\n`
  expectOne(t, {
    empty: [command('""'), '3:14 upstreams.a.command: is empty: name the program to run'],
    blank: [command("'  '"), '3:15 upstreams.a.command: is empty'],
    'an empty list': [command('[]'), '3:14 upstreams.a.command: must be a list with at least one entry'],
    'an empty program': [command('["", x]'), '3:15 upstreams.a.command[0]: is empty: name the program to run'],
    'an empty word': [command("''''"), '3:14 upstreams.a.command'],
    'a pipe': [command('cat x | y'), '3:20 upstreams.a.command: holds the shell operator "|": there is no shell here: use the list form'],
    and: [command('cd x && y'), '3:19 upstreams.a.command: holds the shell operator "&&"'],
    'a semicolon': [command('x; y'), '3:15 upstreams.a.command: holds the shell operator ";"'],
    'a redirection': [command('x > y'), '3:16 upstreams.a.command: holds the shell operator ">"'],
    'a substitution': [command('x $(y)'), '3:16 upstreams.a.command: holds a command substitution ($()'],
    backticks: [command("'x `y`'"), '3:17 upstreams.a.command: holds a command substitution (`)'],
    'a substitution in quotes': [command("'x \"$(y)\"'"), '3:18 upstreams.a.command: holds a command substitution'],
    'a variable': [command('x $HOME/y'), '3:16 upstreams.a.command: holds the shell variable $HOME: write ${env:HOME}'],
    'a home': [command('x ~/y'), '3:16 upstreams.a.command: "~" is not expanded: write the full path'],
    'an assignment': [command('A=1 x'), '3:14 upstreams.a.command: begins with the variable A: variables belong under "env"'],
    'an open quote': [command('x "y'), '3:16 upstreams.a.command: has an opening " without a closing one'],
    'another open quote': [command("x y'z"), '3:17 upstreams.a.command: has an opening \' without a closing one'],
    'a comment': [command("'x #y'"), '3:17 upstreams.a.command: holds a shell comment'],
    'a trailing backslash': [command('x \\'), '3:16 upstreams.a.command: ends with a backslash'],
    'two lines': ['upstreams:\n  a:\n    command: |\n      x\n      y\n', '3:14 upstreams.a.command: holds more than one line'],
    'code made of a reference': [command("[sh, -c, 'echo ${user.name}']"), '3:23 upstreams.a.command[2]: a reference inside shell code would be read as code'],
    'code on the command line': [command('bash -ec "echo ${secret:x}"'), '3:14 upstreams.a.command: a reference inside shell code'],
  })
})

test('references and variables that cannot be honoured are refused', async (t) => {
  const env = (text: string): string => `upstreams: { a: { command: x, env: { ${text} } } }`
  expectOne(t, {
    'an unset variable': [env('A: "x-${env:NOT_SET}"'), '1:44 upstreams.a.env.A: the environment variable NOT_SET is not set'],
    'an unknown form': [env('A: "${vault:x}"'), '1:42 upstreams.a.env.A: unknown reference "${vault:x}". The forms are ${secret:NAME}, ${env:NAME}, ${user.name} and ${user.id}; write $${ for a plain ${'],
    'a form of another program': [env('A: "${TOKEN}"'), '1:42 upstreams.a.env.A: unknown reference "${TOKEN}" – did you mean "${env:TOKEN}"?'],
    'a misspelt form': [env('A: "${secrt:x}"'), '1:42 upstreams.a.env.A: unknown reference "${secrt:x}" – did you mean "secret"?'],
    'an open reference': [env('A: "${secret:x"'), '1:42 upstreams.a.env.A: unknown reference'],
    'a path for a secret': [env('A: "${secret:../../etc/passwd}"'), '1:42 upstreams.a.env.A: "${secret:../../etc/passwd}" does not name a secret'],
    'a credential of the gateway': [env('A: "${env:DATABASE_URL}"'), '1:42 upstreams.a.env.A: "${env:DATABASE_URL}" would hand a credential of the gateway to a server'],
    'the administrator\'s password': [env('A: "${env:PORTCULLIS_ADMIN_PASSWORD}"'), '1:42 upstreams.a.env.A: "${env:PORTCULLIS_ADMIN_PASSWORD}" would hand'],
    'a user of everybody': ['upstreams: { a: { command: "x ${user.name}", isolation: shared } }', '1:31 upstreams.a.command: ${user.name} has no meaning with "isolation: shared"'],
    'a secret in a path': ['upstreams: { a: { command: x, sandbox: { read: ["/srv/${secret:x}"] } } }', '1:55 upstreams.a.sandbox.read[0]: only ${env:…} is replaced in paths'],
    'a bad variable name': [env('"A B": x'), '1:38 upstreams.a.env: "A B" is not an environment variable name'],
  })
  for (const name of ['LD_PRELOAD', 'LD_AUDIT', 'NODE_OPTIONS', 'NODE_PATH', 'BASH_ENV', 'ENV', 'PYTHONPATH', 'PYTHONSTARTUP', 'PERL5OPT', 'RUBYOPT', 'DYLD_INSERT_LIBRARIES', 'PATH', 'IFS', 'GIT_SSH_COMMAND', 'GIT_CONFIG_COUNT', 'JAVA_TOOL_OPTIONS']) {
    t.match(problemsOf(t, env(`${name}: x`)), [`upstreams.a.env.${name}: the variable ${name} changes which code a program runs`], name)
  }
  t.same(problemsOf(t, env('GITHUB_TOKEN: x, HOME: /data, NODE_ENV: production, LANG: C')), [])
})

test('rules that could never match, or not as written, are refused', async (t) => {
  const rule = (text: string): string => `…roles:\n  user:\n    allow:\n      - ${text}\n`
  expectOne(t, {
    'no slash': [rule('files'), '5:9 roles.user.allow[0]: the pattern "files" matches nothing: everything of that upstream is "files/*"'],
    'a bare name': [rule('read'), '5:9 roles.user.allow[0]: the pattern "read" matches nothing: write upstream/name, such as "files/read"'],
    everything: [rule('"*"'), '5:9 roles.user.allow[0]: the pattern "*" matches nothing: everything is "*/*"'],
    'the name clients see': [rule('files__read'), '5:9 roles.user.allow[0]: the pattern "files__read" matches nothing: rules name tools as "files/read"'],
    'half a pattern': [rule('files/'), '5:9 roles.user.allow[0]: the pattern "files/" matches nothing'],
    'an unknown upstream': [rule('flies/read'), '5:9 roles.user.allow[0]: the pattern "flies/read" names the upstream "flies", which does not exist – did you mean "files"?'],
    'an upstream unlike any': [rule('wikipedia/read'), '5:9 roles.user.allow[0]: the pattern "wikipedia/read" names the upstream "wikipedia", which does not exist; there is files'],
    'upstreams of no name': [rule('x*/read'), '5:9 roles.user.allow[0]: the pattern "x*/read" names the upstream "x*"'],
    'a regular expression': [rule('files/read_(a|b)'), '5:9 roles.user.allow[0]: the pattern "files/read_(a|b)" holds "(", but only * is a wildcard'],
    'a space': [rule('files/read file'), '5:9 roles.user.allow[0]: the pattern "files/read file" contains a space'],
    'two kinds': [rule('{ tool: files/a, prompt: files/b }'), '5:9 roles.user.allow[0]: must name exactly one of tool, prompt or resource, got tool and prompt'],
    'no kind': [rule('{ where: "true" }'), '5:9 roles.user.allow[0]: must name exactly one of tool, prompt or resource'],
    'a condition that ends early': [rule('{ tool: files/a, where: args.x == }'), '5:42 roles.user.allow[0].where: is not a valid CEL expression at its end'],
    'a condition about nothing': [rule('{ tool: files/a, where: arg.x == 1 }'), '5:33 roles.user.allow[0].where: unknown variable "arg" – did you mean "args"?'],
    'a condition of the wrong type': [rule('{ tool: files/a, where: "1 + 1" }'), '5:34 roles.user.allow[0].where: must come out as true or false, but it is of type int'],
    'a condition that mixes types': [rule('{ tool: files/a, where: "args.a && tool + 1 == 2" }'), '5:44 roles.user.allow[0].where: is not a valid CEL expression at "tool + 1'],
    'a principal without such a field': [rule('{ tool: files/a, where: principal.nam == "x" }'), '5:43 roles.user.allow[0].where: is not a valid CEL expression'],
    'a denial of what does not exist': ['…roles: { user: { deny: [file/*] } }', '2:25 roles.user.deny[0]: the pattern "file/*" names the upstream "file", which does not exist – did you mean "files"?'],
    'a role of no name': ['…roles: { "a b": {} }', '2:10 roles: "a b" is not a role name'],
  })
  t.same(problemsOf(t, `${fine}roles: { user: { allow: ['f*/x', '*/read_*', { resource: 'files/file:///a(b)?c' }] } }`), [])
})

test('deny patterns that cannot be compiled, or would refuse everything, are refused', async (t) => {
  const deny = (text: string): string => `…guards:\n  deny:\n    - ${text}\n`
  expectOne(t, {
    'an open group': [deny("{ name: a, pattern: '(' }"), '4:27 guards.deny[0].pattern: is not a valid RE2 pattern: missing closing )'],
    lookaround: [deny("{ name: a, pattern: '(?=x)' }"), '4:27 guards.deny[0].pattern: is not a valid RE2 pattern: invalid or unsupported Perl syntax'],
    'an empty match': [deny("{ name: a, pattern: 'x*' }"), '4:27 guards.deny[0].pattern: matches an empty text, so it would refuse every call'],
    empty: [deny("{ name: a, pattern: '' }"), '4:27 guards.deny[0].pattern: is empty'],
    'a backspace': [deny('{ name: a, pattern: "\\bx" }'), '4:27 guards.deny[0].pattern: holds a control character: inside "double quotes" \\b is a backspace'],
    'no name': [deny('{ pattern: x }'), '4:7 guards.deny[0]: needs the key "name"'],
    'a shipped name': [deny('{ name: path-traversal, pattern: x }'), '4:15 guards.deny[0].name: "path-traversal" is the name of a pattern that ships with Portcullis'],
    'a name twice': ['…guards: { deny: [{ name: a, pattern: x }, { name: a, pattern: y }] }', '2:51 guards.deny[1].name: two patterns are called "a"'],
    'another place': [deny('{ name: a, pattern: x, in: results }'), '4:34 guards.deny[0].in: must be "arguments", got "results"'],
    'an unknown tool': [deny('{ name: a, pattern: x, tool: fils/x }'), '4:36 guards.deny[0].tool: the pattern "fils/x" names the upstream "fils"'],
  })
})

test('what this version does not do is refused by name, never accepted and ignored', async (t) => {
  expectOne(t, {
    'secret detection': ['…guards: { secrets: redact }', '2:11 guards: secret detection is not available in this version'],
  })
})

test('which calls may go on without a record is said tool by tool', async (t) => {
  expectOne(t, {
    'all of them': ['…audit: { on_failure: allow }', '2:22 audit.on_failure: must name the tools whose calls may go on without a record: { allow: [upstream/tool, …] }'],
    'something else': ['…audit: { on_failure: ignore }', '2:22 audit.on_failure: must be "deny", or { allow: [upstream/tool, …] }, got "ignore"'],
    'none of them': ['…audit: { on_failure: { allow: [] } }', '2:31 audit.on_failure.allow: must be a list with at least one entry'],
    'an unknown upstream': ['…audit: { on_failure: { allow: [fils/read] } }', '2:32 audit.on_failure.allow[0]: the pattern "fils/read" names the upstream "fils"'],
    'a name alone': ['…audit: { on_failure: { allow: [read_file] } }', '2:32 audit.on_failure.allow[0]: the pattern "read_file" matches nothing'],
  })
})

test('the names the gateway answers to are names, not wildcards', async (t) => {
  expectOne(t, {
    'any origin': ['…server: { origins: ["*"] }', '2:21 server.origins[0]: "*" would let any web page call this gateway'],
    'no origin': ['…server: { origins: ["null"] }', '2:21 server.origins[0]: "null" would let any web page'],
    'an origin with a path': ['…server: { origins: [https://a.example/x] }', '2:21 server.origins[0]: must be only scheme, host and port: "https://a.example"'],
    'a bare name as an origin': ['…server: { origins: [a.example] }', '2:21 server.origins[0]: must be an origin such as https://app.example.com'],
    'a wildcard origin': ['…server: { origins: ["https://*.example"] }', '2:21 server.origins[0]: "https://*.example": origins have no wildcards'],
    'a host with a scheme': ['…server: { hosts: [https://a.example/] }', '2:19 server.hosts[0]: must be a host name without a scheme: "a.example"'],
    'a wildcard host': ['…server: { hosts: ["*.example"] }', '2:19 server.hosts[0]: "*.example": host names have no wildcards'],
    'no host': ['…server: { hosts: ["a b"] }', '2:19 server.hosts[0]: must be a host name or host:port'],
  })
})

test('an issuer that is not to be believed is refused', async (t) => {
  const issuer = (more: string, start = 'issuer: https://a.example, jwks: https://a.example/keys, audience: api, roles: { g: user }'): string => `…identity:\n  issuers:\n    acme: { ${start}${more} }\n`
  expectOne(t, {
    'no roles': [issuer('', 'issuer: https://a.example, jwks: https://a.example/keys, audience: api'), '4:5 identity.issuers.acme: needs the key "roles"'],
    'no group': [issuer('', 'issuer: https://a.example, jwks: https://a.example/keys, audience: api, roles: {}'), '4:92 identity.issuers.acme.roles: is empty: it needs at least one entry'],
    'no audience': [issuer('', 'issuer: https://a.example, jwks: https://a.example/keys, roles: { g: user }'), '4:5 identity.issuers.acme: needs the key "audience"'],
    'keys in the clear': [issuer('', 'issuer: https://a.example, jwks: http://a.example/keys, audience: api, roles: { g: user }'), '4:46 identity.issuers.acme.jwks: must begin with https:// (plain http only for this machine'],
    'a host that only begins like this machine': [issuer('', 'issuer: https://a.example, jwks: "http://127.0.0.1.a.example/keys", audience: api, roles: { g: user }'), '4:46 identity.issuers.acme.jwks: must begin with https://'],
    'no address': [issuer('', 'issuer: a.example, jwks: https://a.example/keys, audience: api, roles: { g: user }'), '4:21 identity.issuers.acme.issuer: must be an address such as'],
    'credentials in the address': [issuer('', 'issuer: https://a.example, jwks: "https://u:p@a.example/keys", audience: api, roles: { g: user }'), '4:46 identity.issuers.acme.jwks: must not hold a user'],
    'a role that there is not': [issuer('', 'issuer: https://a.example, jwks: https://a.example/keys, audience: api, roles: { g: boss }'), '4:97 identity.issuers.acme.roles.g: names the role "boss", which is not among the roles (admin, user)'],
    'a secret that both sides know': [issuer(', algorithms: [HS256]'), '4:118 identity.issuers.acme.algorithms[0]: must be one of RS256'],
    'no signature': [issuer(', algorithms: [none]'), '4:118 identity.issuers.acme.algorithms[0]: must be one of RS256'],
    'a number where text belongs': [issuer(', require: { tid: 7 }'), '4:121 identity.issuers.acme.require.tid: must be text, got a number'],
    'an unknown key': [issuer(', group: roles'), '4:105 identity.issuers.acme: unknown key "group" – did you mean "groups"?'],
    'one issuer twice': ['…identity:\n  issuers:\n    a: { issuer: https://a.example, jwks: https://a.example/keys, audience: api, roles: { g: user } }\n    b: { issuer: https://a.example, jwks: https://b.example/keys, audience: api, roles: { g: user } }', '5:18 identity.issuers.b.issuer: is the issuer of "a" already'],
    'this gateway': [issuer('', 'issuer: "http://127.0.0.1:8080", jwks: https://a.example/keys, audience: api, roles: { g: user }'), '4:21 identity.issuers.acme.issuer: is this gateway itself'],
  })
})

test('a provider that people could not safely log in at is refused', async (t) => {
  const provider = (start: string): string => `…identity:\n  providers:\n    acme: { ${start} }\n`
  const fine = 'issuer: https://a.example, client_id: gate, roles: { g: user }'
  expectOne(t, {
    'no roles': [provider('issuer: https://a.example, client_id: gate'), '4:5 identity.providers.acme: needs the key "roles"'],
    'no client id': [provider('issuer: https://a.example, roles: { g: user }'), '4:5 identity.providers.acme: needs the key "client_id"'],
    'in the clear': [provider('issuer: http://a.example, client_id: gate, roles: { g: user }'), '4:21 identity.providers.acme.issuer: must begin with https://'],
    'a role that there is not': [provider('issuer: https://a.example, client_id: gate, roles: { g: boss }'), '4:69 identity.providers.acme.roles.g: names the role "boss"'],
    'the secret itself': [provider(`${fine}, client_secret: hunter2hunter2`), '4:92 identity.providers.acme.client_secret: must be a reference, "${secret:NAME}"'],
    'a secret from the environment': [provider(`${fine}, client_secret: "\${env:ACME}"`), '4:92 identity.providers.acme.client_secret: must be a reference'],
    'a secret with a path': [provider(`${fine}, client_secret: "\${secret:../key}"`), '4:92 identity.providers.acme.client_secret: must be a reference'],
    'an unknown key': [provider(`${fine}, scope: [email]`), '4:77 identity.providers.acme: unknown key "scope" – did you mean "scopes"?'],
    'a name in capitals': ['…identity: { providers: { Acme: { issuer: https://a.example, client_id: gate, roles: { g: user } } } }', '2:26 identity.providers: "Acme" is not a provider name'],
  })
})

test('all problems of a file are told at once, in the order of its lines', async (t) => {
  const problems = problemsOf(t, `
lmits: []
upstreams:
  a: { command: x | y, env: { PATH: z, B: "\${env:NOT_SET}" } }
  b: { comand: x, sandbox: { memory: 5MB, read: [/etc] } }
roles: { user: { allow: [c/x, { tool: a/x, where: "(" }] } }
limits: [{ calls: 0, per: hour }, { calls: 1, per: decade }]
guards: { deny: [{ name: n, pattern: ")" }] }
`)
  t.same(problems.map((text) => text.split(' ', 1).join()), ['2:1', '4:19', '4:31', '4:44', '5:8', '5:38', '5:50', '6:26', '6:53', '7:19', '7:52', '8:38'])
})

test('a remote server is an address, and nothing that only a process has', async (t) => {
  const remote = (more: string): string => `upstreams:\n  a: { url: ${more} }\n`
  expectOne(t, {
    'both kinds': [remote('https://x.example/mcp, command: x'), '2:36 upstreams.a.command: means nothing with "url": a remote server is not started here'],
    'a sandbox': [remote('https://x.example/mcp, sandbox: {}'), '2:36 upstreams.a.sandbox: means nothing with "url"'],
    'another scheme': [remote('ftp://x.example/'), '2:13 upstreams.a.url: "ftp://x.example/" is not an address such as https://mcp.example.com/mcp'],
    'no address': [remote('x.example'), '2:13 upstreams.a.url: "x.example" is not an address'],
    'in the clear': [remote('http://x.example/mcp'), '2:13 upstreams.a.url: must begin with https://: calls and credentials would travel in the clear'],
    'credentials in the address': [remote('https://a:b@x.example/mcp'), '2:13 upstreams.a.url: must hold no credentials'],
    'a metadata service': [remote('http://169.254.169.254/mcp'), '2:13 upstreams.a.url: leads to "169.254.169.254", which no upstream may have'],
    'a reference': [remote('"https://${env:HOST}/mcp"'), '2:13 upstreams.a.url: references are not replaced here'],
    'a range that is none': [remote('https://x.example/mcp, private: [10.0.0.0/99]'), '2:46 upstreams.a.private[0]: "10.0.0.0/99" is not a range of addresses'],
    'a header of the transport': [remote('https://x.example/mcp, headers: { Mcp-Session-Id: x }'), '2:47 upstreams.a.headers.Mcp-Session-Id: the header Mcp-Session-Id is set by the gateway'],
    'headers of a process': ['upstreams:\n  a: { command: x, headers: {} }', '2:20 upstreams.a.headers: means nothing without "url"'],
    'a type without an address': ['upstreams:\n  a: { command: x, type: sse }', '2:26 upstreams.a.type: "sse" is a remote server: it needs "url"'],
  })
})
