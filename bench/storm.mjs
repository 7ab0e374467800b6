// A storm of logins: so many at the same moment, every one from an address of its own (the whole of 127/8 is loopback), so
// that it meets the queue for hashing and not the limit of one address. Connections are open beforehand and requests are
// bytes, so that the storm itself takes little of the machine that is measured.
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const patienceMs = 20_000

/**
 * Sends so many logins at once and waits for every answer. Right answers are 200 with a token, and 503 with Retry-After.
 * Gives { sent, admitted, refused, wrong: { what: count }, slowestMs }.
 */
export async function storm ({ origin, username, password, logins, firstAddress = 0 }) {
  const url = new URL('/auth/login', origin)
  const request = post(url, JSON.stringify({ username, password }))
  const outcome = { sent: 0, admitted: 0, refused: 0, wrong: {}, slowestMs: 0 }
  const people = await Promise.all(Array.from({ length: logins }, (_, index) => arrive(url, addressOf(firstAddress + index))))
  await Promise.all(people.map(async (person) => count(outcome, await person.ask(request))))
  for (const person of people) person.leave()
  return outcome
}

function post (url, body) {
  return `POST ${url.pathname} HTTP/1.1\r\nhost: ${url.host}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

/** 127.1.0.1 and on; only Linux lets a program use them unasked. */
function addressOf (index) {
  return `127.1.${index >> 7}.${(index & 127) + 1}`
}

/** Somebody with a connection, who asks once. */
async function arrive (url, localAddress) {
  const socket = net.connect({ host: url.hostname, port: Number(url.port), localAddress, noDelay: true })
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  return {
    leave: () => socket.destroy(),
    ask: async (request) => {
      const start = performance.now()
      const late = sleep(patienceMs, { fault: `no answer in ${patienceMs / 1000} s` }, { ref: false })
      const answer = answerOn(socket)
      socket.write(request)
      return { ...await Promise.race([answer, late]), ms: performance.now() - start }
    },
  }
}

function answerOn (socket) {
  return new Promise((resolve) => {
    let text = ''
    socket.setEncoding('latin1').on('data', (part) => {
      text += part
      const answer = whole(text)
      if (answer !== undefined) resolve(answer)
    })
    socket.on('error', ({ message }) => resolve({ fault: message })).on('close', () => resolve({ fault: 'connection closed before the answer' }))
  })
}

/** { status, retryAfter, hasToken } when the answer is all there. */
function whole (text) {
  const head = text.indexOf('\r\n\r\n')
  if (head === -1) return undefined
  const headers = text.slice(0, head)
  const length = head + 4 + Number(/^content-length: (\d+)$/mi.exec(headers)?.[1] ?? 0)
  if (text.length < length) return undefined
  return { status: Number(headers.slice(9, 12)), retryAfter: /^retry-after: (\d+)/mi.exec(headers)?.[1], hasToken: text.slice(head, length).includes('"access_token"') }
}

function count (outcome, { fault, status, retryAfter, hasToken, ms }) {
  outcome.sent++
  outcome.slowestMs = Math.max(outcome.slowestMs, Math.round(ms))
  if (status === 200 && hasToken) outcome.admitted++
  else if (status === 503 && Number(retryAfter) > 0) outcome.refused++
  else {
    const what = fault ?? `HTTP ${status}${status === 503 ? ' without Retry-After' : ''}`
    outcome.wrong[what] = (outcome.wrong[what] ?? 0) + 1
  }
}
