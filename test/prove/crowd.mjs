// So many callers, each with a session and a connection of its own, each call with a mark that no other call has.
import { setTimeout as sleep } from 'node:timers/promises'

import { Connection } from '../../bench/connection.mjs'
import { speak } from '../../bench/dialect.mjs'
import { messageOf } from '../../bench/verify.mjs'

/** Who was refused, or found nobody, asks again after this long, in milliseconds. */
const AGAIN = 25

export class Crowd {
  name
  sent = 0
  refused = 0
  /** Calls whose connection broke before there was an answer. */
  unanswered = 0
  /** Marks of the calls that were answered, other than with a refusal. */
  answered = new Set()
  /** What the refusals said, and how often. */
  refusals = {}
  #members
  #url
  #dialect
  #running = true

  constructor ({ url, token, size, name }) {
    this.name = name
    this.#url = new URL(url)
    this.#dialect = speak({ era: 'legacy', url: this.#url, token })
    this.#members = Array.from({ length: size }, (_, index) => ({ index, calls: 0, connection: new Connection(this.#url) }))
  }

  /** Everybody gets a session. */
  async open () {
    for (const member of this.#members) {
      const answer = await member.connection.ask(this.#dialect.initialize())
      const opened = { session: answer.session, version: messageOf(answer)?.result?.protocolVersion }
      await member.connection.ask(this.#dialect.initialized(opened))
      member.headers = this.#dialect.callHeaders(opened)
    }
  }

  /** Resolves when everybody has stopped. */
  async run () {
    await Promise.all(this.#members.map(async (member) => {
      while (this.#running) await this.#call(member)
      member.connection.close()
    }))
  }

  async stop () {
    this.#running = false
  }

  async #call (member) {
    const id = ++member.calls
    const mark = `${this.name}-${member.index}-${id}`
    this.sent++
    try {
      const answer = await member.connection.ask(this.#dialect.call(member.headers, id, mark))
      if (answer.status === 200) return this.answered.add(mark)
      this.refused++
      const why = messageOf(answer)?.error?.data?.code ?? `HTTP ${answer.status}`
      this.refusals[why] = (this.refusals[why] ?? 0) + 1
    } catch {
      this.unanswered++
      member.connection.close()
      member.connection = new Connection(this.#url)
    }
    await sleep(AGAIN)
  }
}
