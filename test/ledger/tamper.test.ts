import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import t from 'tap'
import type { Test } from 'tap'

import type { Database } from '../../db/connect.ts'
import { auditKey, auditProve, auditVerify, verifyProof } from '../../src/commands/audit-verify.ts'
import { readCheckpointFiles } from '../../src/ledger/checkpoint-file.ts'
import { ledgerSeed } from '../../src/ledger/keys.ts'
import { audit, intent, outcome, temporaryDirectory, testLedger } from '../support/ledger.ts'
import { testDatabase } from '../support/postgres.ts'

interface Site { readonly database: Database, readonly data: string }

/** A ledger of two chains, ten records each, as two runs of a gateway leave it. */
async function twoRuns (t: Test, anchor?: string): Promise<Site> {
  const site = { database: await testDatabase(t), data: temporaryDirectory(t) }
  await run(t, site, 'a', anchor)
  await run(t, site, 'b', anchor)
  return site
}

async function run (t: Test, { database, data }: Site, name: string, anchor?: string): Promise<void> {
  const ledger = testLedger(t, database, data, { seed: ledgerSeed(data), audit: { ...audit, anchor } })
  for (let n = 1; n <= 5; n++) {
    ledger.append(intent(`${name}${n}`))
    ledger.append(outcome(`${name}${n}`))
  }
  await ledger.close()
}

async function verify ({ database, data }: Site, options: { since?: string, anchor?: string, key?: string[] } = {}, now?: number): Promise<{ code: number, flaws: string[], text: string }> {
  let json = ''
  const code = await auditVerify({ database, out: (text) => { json += text }, config: { data } }, { ...options, json: true }, now)
  const { findings } = JSON.parse(json) as { findings: { flaw: string, seq?: number, text: string }[] }
  return { code, flaws: findings.map(({ flaw, seq }) => `${flaw} ${seq ?? ''}`.trim()), text: json }
}

/** What a superuser can do: switch the triggers off, and anything. */
async function tamper ({ database: { pool } }: Site, ...statements: string[]): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query("set session_replication_role = 'replica'")
    for (const statement of statements) await client.query(statement)
    await client.query("set session_replication_role = 'origin'")
  } finally {
    client.release()
  }
}

const first = '(select chain_id from ledger.chain order by opened_at limit 1)'
const second = '(select chain_id from ledger.chain order by opened_at offset 1 limit 1)'

t.test('a ledger nobody touched verifies, from every start', async t => {
  const site = await twoRuns(t)
  t.match(await verify(site), { code: 0, flaws: [], text: /"records":20,/ })
  t.match(await verify(site, { since: '1h' }), { code: 0, flaws: [], text: /"records":20,/ })
  t.match(await verify(site, { since: '1h' }, Date.now() + 7_200_000), { code: 0, flaws: [], text: /"records":0,/ })
  let text = ''
  t.equal(await auditVerify({ database: site.database, out: (chunk) => { text += chunk }, config: { data: site.data } }, {}), 0)
  t.match(text, /^Intact: 20 records of 2 chains were read, 2 signatures compared\.\n$/)
})

t.test('what has to be escaped, and what has a trace, verifies like anything else, and not once it was edited', async t => {
  const site = { database: await testDatabase(t), data: temporaryDirectory(t) }
  const ledger = testLedger(t, site.database, site.data, { seed: ledgerSeed(site.data), audit })
  ledger.append({ ...intent('a'), client: 'the "quoted" one', target: 'back\\slash\u0001', rule: 'ünïcödé 🦊' })
  ledger.append({ ...intent('b'), trace: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' })
  ledger.append({ ...outcome('b'), durationMs: 0.07, bytesOut: 1e15 })
  await ledger.close()
  t.match(await verify(site), { code: 0, flaws: [] })
  await tamper(site, "update ledger.event set tool = 'back\\slash\\u0001' where seq = 1")
  t.match((await verify(site)).flaws, ['edited 1'])
})

/** Numbers 3 and 6 trade places, by way of a number nobody has. */
const swap = [[3, 1006], [6, 3], [1006, 6]].map(([from, to]) => `update ledger.event set seq = ${to} where chain_id = ${first} and seq = ${from}`)

const attacks: readonly (readonly [what: string, statements: readonly string[], flaw: string])[] = [
  ['the text of a record was edited', [`update ledger.event set body = replace(body::text, 'alice', 'mallory')::json, principal = 'mallory' where chain_id = ${first} and seq = 3`], 'edited 3'],
  ['one column was edited', [`update ledger.event set principal = 'mallory' where chain_id = ${first} and seq = 5`], 'edited 5'],
  ['one column was emptied', [`update ledger.event set principal = null where chain_id = ${first} and seq = 5`], 'edited 5'],
  ['one column was made to look like two', [`update ledger.event set principal_id = principal_id || '","principal":"' || principal, principal = null where chain_id = ${first} and seq = 5`], 'edited 5'],
  ['a time was moved by less than is written', [`update ledger.event set ts = ts + interval '1 microsecond' where chain_id = ${first} and seq = 5`], 'edited 5'],
  ['the text and its own hash were edited', [`update ledger.event e set body = replace(body::text, 'alice', 'mallory')::json, principal = 'mallory',
    hash = sha256((select hash from ledger.event p where p.chain_id = e.chain_id and p.seq = 2) || sha256(convert_to(replace(body::text, 'alice', 'mallory'), 'UTF8'))) where chain_id = ${first} and seq = 3`], 'edited 4'],
  ['a hash was removed', [`update ledger.event set hash = null where chain_id = ${second} and seq = 7`], 'edited 7'],
  ['a record was deleted', [`delete from ledger.event where chain_id = ${first} and seq = 4`], 'missing 4'],
  ['the first record was deleted', [`delete from ledger.event where chain_id = ${second} and seq = 1`], 'missing 1'],
  ['a record was put in twice', [`insert into ledger.event select (jsonb_populate_record(e, '{"ts":"2031-01-01T00:00:00Z"}')).* from ledger.event e where chain_id = ${first} and seq = 4`], 'duplicated 4'],
  ['a record was added behind the end', [`insert into ledger.event select (jsonb_populate_record(e, '{"seq":11}')).* from ledger.event e where chain_id = ${first} and seq = 10`], 'added 11'],
  ['two records changed places', swap, 'reordered 3'],
  ['the tail was cut off', [`delete from ledger.event where chain_id = ${second} and seq > 8`], 'cut off 9'],
  ['the tail was cut off and the head set back', [`delete from ledger.event where chain_id = ${second} and seq > 8`,
    `update ledger.chain c set last_seq = 8, last_hash = (select hash from ledger.event e where e.chain_id = c.chain_id and seq = 8) where chain_id = ${second}`], 'cut off 9'],
  ['the name of the node was changed', [`update ledger.chain set node = 'elsewhere' where chain_id = ${first}`], 'edited 1'],
  ['the time of the chain was made infinite', [`update ledger.chain set opened_at = 'infinity', last_ts = 'infinity' where chain_id = ${first}`], 'edited 1'],
  ['the chain was forgotten', [`delete from ledger.chain where chain_id = ${second}`], 'chain missing'],
]

for (const [what, statements, flaw] of attacks) {
  t.test(`found and named: ${what}`, async t => {
    const site = await twoRuns(t)
    await tamper(site, ...statements)
    const { code, flaws } = await verify(site)
    t.equal(code, 1)
    t.ok(flaws.some(found => found.startsWith(flaw)), flaws.join(', '))
  })
}

/** Writes a whole chain anew, hashes and all, as if alice had been mallory from the start. */
const rewrite = (chain: string): string => `do $$
  declare r record; h bytea; c ledger.chain;
  begin
    select * into c from ledger.chain where chain_id = ${chain};
    h := sha256(convert_to(format(E'portcullis ledger\\n%s\\n%s\\n%s', c.chain_id, c.node, to_char(c.opened_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')), 'UTF8'));
    for r in select * from ledger.event where chain_id = c.chain_id order by seq loop
      h := sha256(h || sha256(convert_to(replace(r.body::text, 'alice', 'mallory'), 'UTF8')));
      update ledger.event set body = replace(body::text, 'alice', 'mallory')::json, principal = replace(principal, 'alice', 'mallory'), hash = h where chain_id = c.chain_id and seq = r.seq;
    end loop;
    update ledger.chain set last_hash = h where chain_id = c.chain_id;
  end $$`

t.test('found and named: a whole chain was written anew, with hashes that fit, and its signatures in the database removed', async t => {
  const site = await twoRuns(t)
  await tamper(site, rewrite(second))
  t.match(await verify(site), { code: 1, flaws: ['rewritten 1'] })
  await tamper(site, `delete from ledger.checkpoint where chain_id = ${second}`)
  t.match(await verify(site), { code: 1, flaws: ['rewritten 1'] }, 'the file has them still')
})

t.test('found and named: a signature was forged, or made with another key', async t => {
  const site = await twoRuns(t)
  await tamper(site, "update ledger.checkpoint set statement = replace(statement, '\"seq\":10', '\"seq\":9')")
  t.match((await verify(site)).flaws, ['bad signature 9', 'bad signature 9'])
  const stranger = temporaryDirectory(t)
  await run(t, { database: site.database, data: stranger }, 'c')
  t.ok((await verify(site)).flaws.includes('unknown key 10'))
  const key = join(stranger, 'key.pem')
  auditKey(stranger, (pem) => writeFileSync(key, pem))
  t.notOk((await verify(site, { key: [key] })).flaws.includes('unknown key 10'), 'a key that is vouched for counts')
})

/** Keeps what it is sent, and gives it back. Refuses the first request, as a place that is away for a moment. */
async function anchorServer (t: Test): Promise<{ url: string, lines: string[] }> {
  const lines: string[] = []
  let away = true
  const server = createServer((request, response) => {
    if (request.method === 'GET') return response.end(lines.map(line => `${line}\n`).join(''))
    let body = ''
    request.on('data', (chunk: Buffer) => { body += chunk.toString() })
    request.on('end', () => {
      if (!away) lines.push(body)
      response.writeHead(away ? 503 : 201).end()
      away = false
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => { server.close(); server.closeAllConnections() })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, lines }
}

t.test('with the anchor alone, a chain that was written anew and a return to an old backup are found', async t => {
  const { url, lines } = await anchorServer(t)
  const site = await twoRuns(t, url)
  t.equal(lines.length, 2, 'sent again after a refusal')
  t.match(await verify(site, { anchor: url }), { code: 0, flaws: [] })
  // Another machine: it has the key of the gateway, and not its files.
  const auditor = { database: site.database, data: temporaryDirectory(t) }
  const key = join(auditor.data, 'gateway.pem')
  auditKey(site.data, (pem) => writeFileSync(key, pem))

  // The backup is of the time after the first run: everything of the second is gone, signatures too.
  await tamper(site, `delete from ledger.event where chain_id = ${second}`, `delete from ledger.checkpoint where chain_id = ${second}`, `delete from ledger.chain where chain_id = ${second}`)
  t.match(await verify(auditor, { key: [key] }), { code: 0 }, 'the database alone does not show it')
  t.match(await verify(auditor, { key: [key], anchor: url }), { code: 1, flaws: ['chain missing 1'] })
  t.match(await verify(site), { code: 1, flaws: ['chain missing 1'] }, 'nor do the files of the gateway hide it')

  await tamper(site, rewrite(first), 'delete from ledger.checkpoint')
  t.match((await verify(auditor, { key: [key], anchor: url })).flaws, ['rewritten 1', 'chain missing 1'])
  const file = join(auditor.data, 'kept.jsonl')
  writeFileSync(file, lines.join('\n'))
  t.match((await verify(auditor, { key: [key], anchor: file })).flaws, ['rewritten 1', 'chain missing 1'], 'a file does as well')
})

t.test('a head that has moved is signed while the gateway runs', async t => {
  const site = { database: await testDatabase(t), data: temporaryDirectory(t) }
  const ledger = testLedger(t, site.database, site.data, { seed: ledgerSeed(site.data), audit: { ...audit, checkpointEvery: 50 }, thread: site.database })
  await ledger.caughtUp
  ledger.append(intent('one'))
  while (readCheckpointFiles(site.data).length < 1) await sleep(20)
  ledger.append(outcome('one'))
  while (readCheckpointFiles(site.data).length < 2) await sleep(20)
  await ledger.close()
  t.match(readCheckpointFiles(site.data).map(line => JSON.parse(line) as unknown), [{ seq: 1, reason: 'interval' }, { seq: 2, reason: 'interval' }, { seq: 2, reason: 'close' }])
  t.match(await verify(site), { code: 0, flaws: [], text: /"records":2,/ })
})

t.test('a record is proven without the database, and without the records of others', async t => {
  const site = await twoRuns(t)
  const key = join(site.data, 'key.pem')
  const file = join(site.data, 'proof.json')
  auditKey(site.data, (pem) => writeFileSync(key, pem))
  await auditProve({ database: site.database, out: (text) => writeFileSync(file, text), config: { data: site.data } }, 'a2')
  t.notMatch(readFileSync(file, 'utf8'), /"a3\\"/)
  const check = (path: string, keys: string[]): { code: number, text: string } => {
    let text = ''
    return { code: verifyProof(path, keys, (chunk) => { text += chunk }), text }
  }
  const good = check(file, [key])
  t.equal(good.code, 0)
  t.match(good.text, /^Proven: signed by test at .*\n {4}\{"ts":.*"record":"a2".*\nProven: /)

  const forged = join(site.data, 'forged.json')
  writeFileSync(forged, readFileSync(file, 'utf8').replace('alice', 'mallory'))
  t.match(check(forged, [key]), { code: 1, text: /NOT PROVEN: the record does not lead to the head that was signed/ })
  writeFileSync(forged, readFileSync(file, 'utf8').replaceAll('\\"seq\\":10', '\\"seq\\":11'))
  t.match(check(forged, [key]), { code: 1, text: /NOT PROVEN: the signature of its checkpoint is wrong/ })
  const other = join(site.data, 'other.pem')
  auditKey(temporaryDirectory(t), (pem) => writeFileSync(other, pem))
  t.match(check(file, [other]), { code: 1, text: /NOT PROVEN: it was signed with the key [0-9a-f]{16}, which nobody vouches for/ })
  await t.rejects(auditProve({ database: site.database, out: () => {}, config: { data: site.data } }, 'nothing'), { message: 'There is no record "nothing".' })
})
