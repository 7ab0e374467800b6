// What may happen to a gateway: each fault comes while the crowd calls, and goes (or the gateway is started again by whoever looks after it).
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Nothing of all this takes longer, in milliseconds. */
const PATIENCE = 60_000
/** A refusal for each caller, and then some. */
const FELT = 100
const SPOOL_BYTES = 24 * 1024 * 1024

/** `strike` resolves with what the fault did, in words, once it is over; `unable` with why it cannot be tried here. */
export function faults ({ kills, seed, durability }) {
  const random = randomFrom(seed)
  return [
    ...Array.from({ length: kills }, (_, index) => ({ name: `kill -9 of the gateway ${index + 1}`, strike: (site, crowd) => kill(site, crowd, random) })),
    { name: 'Postgres stopped and started', strike: outage(async (site) => { await site.stopDatabase(); return async () => await site.startDatabase() }) },
    { name: 'Postgres stands still', strike: outage(async (site) => await site.freezeDatabase()) },
    { name: 'the disk of the spool is full', strike: fillDisk, unable: async (site) => durability === 'database' ? 'there is no spool with durability database' : await site.mountSpool(SPOOL_BYTES) },
  ]
}

async function kill (site, crowd, random) {
  await until(() => crowd.answered.size > 50, 'calls are answered')
  const moment = Math.round(random() * 1_500)
  await sleep(moment)
  const { size } = crowd.answered
  await site.killGateway()
  return `${moment} ms and ${size} answers in`
}

/** The database goes away, calls are refused for a while, and when it comes back they are answered again. */
function outage (begin) {
  return async (site, crowd) => {
    await until(() => crowd.answered.size > 200, 'calls are answered')
    const end = await begin(site)
    try {
      await felt(crowd)
    } finally {
      await end()
    }
    return await recovered(crowd)
  }
}

async function fillDisk (site, crowd) {
  await until(() => crowd.answered.size > 200, 'calls are answered')
  const ballast = join(site.spool, 'ballast')
  const fill = (bytes, flag) => { try { writeFileSync(ballast, Buffer.alloc(bytes), { flag }) } catch (error) { if (error.code !== 'ENOSPC') throw error } }
  fill(SPOOL_BYTES, 'w')
  const size = 4096
  // What the spool gives up is taken at once.
  const topUp = setInterval(() => fill(size, 'a'), 10)
  try {
    await felt(crowd)
  } finally {
    clearInterval(topUp)
    rmSync(ballast)
  }
  return await recovered(crowd)
}

async function felt (crowd) {
  const { refused } = crowd
  await until(() => crowd.refused - refused >= FELT, 'calls are refused')
}

async function recovered (crowd) {
  const { size } = crowd.answered
  await until(() => crowd.answered.size - size > 200, 'calls are answered again')
  return Object.entries(crowd.refusals).map(([why, times]) => `${times} × ${why}`).join(', ')
}

async function until (check, what) {
  const end = performance.now() + PATIENCE
  while (!check()) {
    if (performance.now() > end) throw new Error(`within ${PATIENCE / 1000} s it did not happen that ${what}`)
    await sleep(10)
  }
}

/** mulberry32: the same moments for the same seed. */
function randomFrom (seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
