// One keep-alive connection on a raw socket, one request in flight: the cheapest client there is, so that the load
// generator does not become what is measured.
import net from 'node:net'

import { readAnswer } from './http-answer.mjs'

const setupTimeoutMs = 20_000

export class Connection {
  #address
  #socket
  #bytes = Buffer.allocUnsafe(128 * 1024)
  #length = 0
  #needs = 1
  #waiting
  #ended = false

  constructor (url) {
    this.#address = { host: url.hostname, port: Number(url.port), noDelay: true }
  }

  /** True while a request has no answer. */
  get busy () {
    return this.#waiting !== undefined
  }

  /** Connects, or connects anew when the server has closed the connection between two requests, which it may. */
  async open () {
    if (this.#socket !== undefined) return
    this.#length = 0
    const onread = { buffer: Buffer.allocUnsafe(128 * 1024), callback: (count, buffer) => this.#take(buffer, count) }
    const socket = net.connect({ ...this.#address, onread })
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    socket.on('error', () => {})
    socket.on('close', () => this.#lost(socket))
    this.#socket = socket
  }

  /** Sends a request; `done(error, answer)` runs once. The body of the answer is valid only inside of it. */
  send (request, done) {
    if (this.#socket === undefined) {
      this.open().then(() => this.send(request, done), done)
      return
    }
    this.#waiting = done
    this.#needs = 1
    this.#socket.write(request, 'latin1')
  }

  /** Sends and waits, for what happens once a connection. */
  ask (request) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#finish(new Error(`no answer in ${setupTimeoutMs / 1000} s`)), setupTimeoutMs)
      this.send(request, (error, answer) => {
        clearTimeout(timer)
        if (error) reject(error)
        else resolve({ ...answer, body: Buffer.from(answer.body) })
      })
    })
  }

  close () {
    this.#ended = true
    this.#socket?.destroy()
  }

  #take (chunk, count) {
    this.#room(count)
    chunk.copy(this.#bytes, this.#length, 0, count)
    this.#length += count
    if (this.#length >= this.#needs) this.#read()
    return true
  }

  #read () {
    try {
      const answer = readAnswer(this.#bytes.subarray(0, this.#length))
      if (answer.needs !== undefined) this.#needs = answer.needs
      else this.#answered(answer)
    } catch (error) {
      this.#finish(error)
      this.#socket?.destroy()
    }
  }

  #answered (answer) {
    if (answer.end !== this.#length) throw new Error(`${this.#length - answer.end} bytes behind the answer`)
    if (this.#waiting === undefined) throw new Error('an answer that nobody asked for')
    this.#length = 0
    if (answer.closes) this.#drop()
    this.#finish(undefined, answer)
  }

  #finish (error, answer) {
    const done = this.#waiting
    this.#waiting = undefined
    done?.(error, answer)
  }

  #lost (socket) {
    if (socket !== this.#socket) return
    this.#socket = undefined
    if (!this.#ended) this.#finish(new Error('connection closed before the answer'))
  }

  #drop () {
    const socket = this.#socket
    this.#socket = undefined
    socket?.destroy()
  }

  #room (count) {
    const wanted = this.#length + count
    if (wanted <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, wanted))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}
