// Starts servers, waits until they answer, and stops every process that came of them, whatever happens.
import { spawn } from 'node:child_process'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

import { descendants } from './processes.mjs'

const startMs = 40_000
const stopMs = 10_000
const saidBytes = 2_000
const running = new Set()
const given = new Set()

process.on('exit', () => { for (const child of running) killTree(child.pid) })

/**
 * Runs a program until `isReady()` resolves to true. Gives { pid, stop () → { code, signal } }; stop may be called twice.
 * @throws Error with the end of its stderr when it exits first or takes too long
 */
export async function launch (command, { cwd, env, isReady }) {
  const child = spawn(command[0], command.slice(1), { cwd, env, stdio: ['ignore', 'ignore', 'pipe'] })
  running.add(child)
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text) => { said = (said + text).slice(-saidBytes) })
  const exited = new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: -1, signal: null, error }))
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  exited.then(() => running.delete(child))
  let ended
  exited.then((how) => { ended = how })
  const stop = async () => await end(child, exited)
  for (const deadline = Date.now() + startMs; !(await isReady().catch(() => false)); await sleep(100)) {
    if (ended === undefined && Date.now() < deadline) continue
    const why = ended === undefined ? `not ready after ${startMs / 1000} s` : ended.error?.message ?? `exited with ${ended.code ?? ended.signal}`
    await stop()
    throw new Error(`${why}${lastWords(said)}`)
  }
  return { pid: child.pid, stop }
}

/** A port of the loopback interface that nothing listens on, and that was given to nobody here before: contenders start at the same time. */
export async function freePort () {
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (given.has(port)) return await freePort()
  given.add(port)
  return port
}

/** The line of stderr that says most: the first that names an error, else the last. */
function lastWords (said) {
  const lines = said.split('\n').filter((line) => line.trim() !== '')
  const line = lines.find((text) => /error/i.test(text)) ?? lines.at(-1)
  return line === undefined ? '' : `: ${line.trim()}`
}

/** Asks by SIGTERM, and after a while no longer asks. */
async function end (child, exited) {
  child.kill('SIGTERM')
  const gone = await Promise.race([exited, sleep(stopMs, undefined, { ref: false })])
  if (gone === undefined) killTree(child.pid)
  return gone ?? { code: null, signal: 'SIGKILL' }
}

function killTree (pid) {
  for (const member of descendants(pid).reverse()) {
    try {
      process.kill(member, 'SIGKILL')
    } catch {
      // It ended by itself.
    }
  }
}
