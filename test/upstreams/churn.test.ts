import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/config/config.ts'
import { descendantsOf } from '../../src/sandbox/processes.ts'
import type { Answer } from '../../src/upstreams/answer.ts'
import { openCells } from '../../src/upstreams/cells.ts'
import type { SupervisorEvents } from '../../src/upstreams/starter.ts'
import { Supervisor } from '../../src/upstreams/supervisor.ts'
import { until } from '../support/gateway.ts'

/** CHURN_USERS=1000 is an hour of coming and going in a minute or two. */
const users = Number(process.env['CHURN_USERS'] ?? 250)
const cap = 50
const MiB = 1024 * 1024
const fixture = join(import.meta.dirname, '../fixtures/quick.sh')

const processes = (): number => descendantsOf(process.pid).length
const descriptors = (): number => readdirSync('/proc/self/fd').length

t.test('T47: many users come and go through fifty places: no call is lost, nothing is left', { timeout: 900_000 }, async (t) => {
  const folder = t.testdir({ 'upstreams.yaml': `upstreams: { quick: { command: [sh, ${fixture}], timeouts: { start: 15m, call: 5m } } }\ninstances: { total: ${cap} }\n` })
  const config = loadConfig({ PORTCULLIS_DATA: join(folder, 'data') }, { file: join(folder, 'upstreams.yaml') })
  const seen = { started: 0, exited: 0, crashed: 0, failed: [] as string[] }
  const events: SupervisorEvents = {
    notification: () => {},
    noise: () => {},
    dropped: () => {},
    cut: () => {},
    stderr: () => {},
    egress: () => Promise.resolve(() => {}),
    isWatched: () => false,
    started: () => { seen.started++ },
    exited: (_instance, _exit, expected) => { seen.exited++; if (!expected) seen.crashed++ },
    failed: (_upstream, _owner, reason) => { seen.failed.push(reason) },
  }
  const cells = openCells(config, { egress: () => Promise.resolve(() => {}), pinned: () => {}, unpinned: () => {} })
  t.same(await cells.problems(), [])
  const supervisor = new Supervisor(config, cells.spawn, events)
  const before = { processes: processes(), descriptors: descriptors() }

  let most = 0
  let mostMemory = 0
  const watch = setInterval(() => {
    most = Math.max(most, [...supervisor.instances()].length)
    mostMemory = Math.max(mostMemory, process.memoryUsage.rss())
  }, 5)
  const call = async (id: string): Promise<string> => {
    const owner = { user: { id, name: id }, session: undefined }
    const instance = await supervisor.instance('quick', owner, 'legacy')
    return await new Promise((resolve, reject) => {
      instance.request('tools/call', () => '{"name":"pid"}', { answer: (answer: Answer) => resolve(answer.kind === 'result' ? String(answer.text) : answer.message), fail: reject })
    })
  }
  const memory = process.memoryUsage.rss()
  const begun = performance.now()
  const answers = await Promise.all(Array.from({ length: users }, (_, user) => call(`user-${user}`)))
  clearInterval(watch)
  const seconds = (performance.now() - begun) / 1000

  t.equal(answers.filter((text) => /"text":"\d+"/.test(text)).length, users, 'every call was answered')
  t.ok(most <= cap, `at most ${cap} at a time (${most})`)
  t.equal(seen.started, users, 'each by an instance of its own')
  t.same(seen.failed, [])
  t.equal(seen.crashed, 0)
  t.ok(mostMemory - memory < 300 * MiB, 'in bounded memory')

  await supervisor.close(0)
  t.equal(seen.exited, users)
  await until(() => processes() <= before.processes && descriptors() <= before.descriptors + 2, 30_000)
  t.pass('no process and no descriptor is left')
  t.comment(`${users} users in ${seconds.toFixed(0)} s, ${most} instances at most; memory ${(memory / MiB).toFixed(0)} MiB before, ${(mostMemory / MiB).toFixed(0)} at most, ${(process.memoryUsage.rss() / MiB).toFixed(0)} after; processes ${before.processes} and ${processes()}, descriptors ${before.descriptors} and ${descriptors()}`)
})
