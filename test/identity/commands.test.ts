import { PassThrough, Readable } from 'node:stream'

import t from 'tap'

import { createToken, listTokens, revokeToken } from '../../src/commands/token.ts'
import { addUser, changeRoles, listUsers, resetPassword, setDisabled } from '../../src/commands/user.ts'
import type { IdentityEvent } from '../../src/identity/audit.ts'
import type { RoleSpec } from '../../src/config/config.ts'
import { openGate, outcome, PASSWORD } from './harness.ts'

t.test('the user and token commands', async (t) => {
  const gate = await openGate(t)
  const events: IdentityEvent[] = []
  let printed = ''
  const roles = new Map(['admin', 'user', 'auditor'].map((name): [string, RoleSpec] => [name, { name, allow: [], deny: [] }]))
  const command = { database: gate.database, config: { roles }, audit: (event: IdentityEvent) => { events.push(event) }, out: (text: string) => { printed += text } }
  const silent = { stdin: new PassThrough() }
  const said = (): string => { const text = printed; printed = ''; return text }
  const login = async (name: string, password: string): Promise<string> => await outcome(async () => await gate.identity.login(name, password, 'x'))

  await t.test('add: with a password from standard input, which is printed nowhere', async (t) => {
    await addUser(command, 'bo', { roles: ['user', 'auditor'], passwordStdin: true, stdin: Readable.from([`${PASSWORD}\n`]) })
    t.equal(said(), 'User bo was added with the role user, auditor.\n')
    t.equal(await login('bo', PASSWORD), 'ok')
    t.match(events.at(-1), { kind: 'user', source: 'cli', outcome: 'ok', detail: { action: 'add', user: 'bo', roles: ['user', 'auditor'] } })
    t.notMatch(JSON.stringify(events), PASSWORD)
  })

  await t.test('add: without one and without a terminal makes one, printed once; the role is user', async (t) => {
    await addUser(command, 'cy', { ...silent, roles: [] })
    t.match(printed, 'with the role user.')
    const [, password = ''] = /shown this once\): (\S+)\n/.exec(said()) ?? []
    t.equal(await login('cy', password), 'ok')
    t.notMatch(JSON.stringify(events), password)
  })

  await t.test('add: says what is wrong with the role, the name, the password, or standard input', async (t) => {
    await t.rejects(addUser(command, 'di', { ...silent, roles: ['usr'] }), { message: 'There is no role "usr" in upstreams.yaml. There are: admin, user, auditor.' })
    await t.rejects(addUser(command, 'BO', silent), { message: /already a user named/ })
    await t.rejects(addUser(command, '../di', silent), { message: /user name is/ })
    await t.rejects(addUser(command, 'di', { passwordStdin: true, stdin: Readable.from(['short\n']) }), { message: /at least 12/ })
    await t.rejects(addUser(command, 'di', { passwordStdin: true, stdin: Readable.from(['']) }), { message: /no password on standard input/ })
    t.equal(said(), '')
  })

  await t.test('add: warns when there is no role to give', async (t) => {
    await addUser({ ...command, config: { roles: new Map() } }, 'di', { ...silent, roles: [] })
    t.match(said(), 'Without a role nothing is allowed. Give one: portcullis user role di --add ROLE')
  })

  await t.test('list: as a table and as JSON, without hashes', async (t) => {
    await listUsers(command, {})
    t.match(said(), /^NAME {3}ROLES +STATE +SINCE\nadmin {2}admin +active +\d{4}-\d\d-\d\d\nbo {5}auditor, user/)
    await listUsers(command, { json: true })
    const rows = JSON.parse(said()) as Record<string, unknown>[]
    t.same(Object.keys(rows[0] ?? {}).sort(), ['createdAt', 'disabled', 'id', 'name', 'roles'])
  })

  await t.test('role: adds, removes and sets', async (t) => {
    await changeRoles(command, 'bo', { add: ['admin'], remove: ['auditor'] })
    t.match(said(), 'admin, user.')
    await changeRoles(command, 'BO', { set: ['auditor'] })
    t.match(said(), 'the role auditor.')
    t.match(events.at(-1), { detail: { action: 'role', user: 'bo', before: { roles: ['admin', 'user'] }, after: { roles: ['auditor'] } } })
    await t.rejects(changeRoles(command, 'bo', { add: ['root'] }), { message: /no role "root"/ })
    await t.rejects(changeRoles(command, 'bo', {}), { message: /--add/ })
    await t.rejects(changeRoles(command, 'nobody', { add: ['user'] }), { message: /user list/ })
  })

  await t.test('disable, enable and passwd', async (t) => {
    await setDisabled(command, 'bo', true)
    t.equal(await login('bo', PASSWORD), 'PORTCULLIS_BAD_CREDENTIALS')
    await setDisabled(command, 'bo', false)
    t.equal(await login('bo', PASSWORD), 'ok')
    said()
    await resetPassword(command, 'bo', silent)
    const [, password = ''] = /shown this once\): (\S+)\n/.exec(said()) ?? []
    t.equal(await login('bo', PASSWORD), 'PORTCULLIS_BAD_CREDENTIALS')
    t.equal(await login('bo', password), 'ok')
    t.same(events.slice(-3).map(({ detail }) => detail?.action), ['disable', 'enable', 'passwd'])
  })

  await t.test('token create, list and revoke', async (t) => {
    await createToken(command, { user: 'bo', name: 'laptop', scopes: ['files/*'], expires: '12w' })
    const [token = ''] = said().split('\n')
    t.match(await gate.identity.authenticate(`Bearer ${token}`), { name: 'bo', scopes: ['files/*'] })
    await createToken(command, { user: 'bo', name: 'ci', json: true })
    const created = JSON.parse(said()) as Record<string, string>
    t.match(created, { user: 'bo', name: 'ci', scopes: null, token: /^portcullis_pat_/ })
    await listTokens(command, { user: 'bo' })
    const list = said()
    t.match(list, /^ID +USER +NAME +TOKEN +SCOPES +EXPIRES +LAST USED\n/)
    t.match(list, 'files/*')
    t.notMatch(list, token.slice(22, 40))
    await revokeToken(command, created.id ?? '')
    t.equal(said(), 'The token "ci" is revoked.\n')
    t.same(events.slice(-3).map(({ kind, detail }) => [kind, detail?.action]), [['token', 'create'], ['token', 'create'], ['token', 'revoke']])
    t.notMatch(JSON.stringify(events), token.slice(22, 40))
    await t.rejects(revokeToken(command, created.id ?? ''), { message: /no personal access token/ })
    await t.rejects(revokeToken(command, 'x'), { message: /no personal access token/ })
  })

  await t.test('token create says what is missing or wrong', async (t) => {
    await t.rejects(createToken(command, { name: 'x' }), { message: /--user NAME/ })
    for (const expires of ['soon', '90 d', '-1d', '1h', '1.5d', '']) await t.rejects(createToken(command, { user: 'bo', name: 'x', expires }), { message: /not a lifetime/ }, expires)
    await t.rejects(createToken(command, { user: 'bo', name: 'x', expires: '2y' }), { message: /1 to 365/ })
    await t.rejects(createToken(command, { user: 'bo', name: ' ', expires: '1d' }), { message: /name of a token/ })
    await setDisabled(command, 'cy', true)
    await t.rejects(createToken(command, { user: 'cy', name: 'x' }), { message: /disabled/ })
  })
})
