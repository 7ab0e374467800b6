import { randomBytes } from 'node:crypto'
import { event, primer } from '../../src/protocol/sse.ts'
import type { Session } from '../../src/sessions.ts'

/** Where a stream that is taken up again goes on. */
export interface Reader {
  write (text: string): void
  end (): void
}

/** Milliseconds an ended stream can be taken up again. */
const keptMs = 5 * 60_000
/** Streams of one session, and bytes of one session and of all, that are kept; the oldest make room. */
const maxStreams = 32
const maxSessionBytes = 16 * 1024 * 1024
const maxBytes = 128 * 1024 * 1024

/**
 * What the stream of one answer said, for a client that lost its connection: the rest of it goes to one reader only,
 * the last that came, each message once and in order. A disconnect of a legacy client cancels nothing.
 */
export class Replay {
  readonly id = randomBytes(12).toString('base64url')
  readonly session: Session
  /** When the answer was complete, in Unix milliseconds. */
  endedAt: number | undefined
  bytes = 0
  #said: { readonly at: number, readonly text: string }[] = []
  #count = 0
  /** Number of the last event that had to make room: what comes before it cannot be sent again. */
  #gone = 0
  #reader: Reader | undefined

  constructor (session: Session) {
    this.session = session
  }

  /** The client came back by GET: the connection of its POST gets nothing any more. */
  get taken (): boolean {
    return this.#reader !== undefined
  }

  /** What a stream of 2025-11-25 begins with, so that it can be taken up before it said anything. */
  get opening (): string {
    return this.session.version === '2025-11-25' ? primer(this.#idOf(0)) : ''
  }

  /** The message as an event of this stream; it has gone to the reader, if there is one. */
  add (message: string): string {
    const at = ++this.#count
    const text = event(message, this.#idOf(at))
    this.#said.push({ at, text })
    this.bytes += text.length
    this.#makeRoom()
    this.#reader?.write(text)
    return text
  }

  /** Says something to the reader that is no message, and is not kept. */
  comment (text: string): boolean {
    this.#reader?.write(text)
    return this.#reader !== undefined
  }

  /** Whether everything after the event of that number can still be sent. */
  has (after: number): boolean {
    return after >= this.#gone && after <= this.#count
  }

  /** Nothing more is to come. */
  end (now: number): void {
    this.endedAt = now
    this.#reader?.end()
  }

  /** Sends what came after the event of that number, and whatever comes. The reader before is let go. */
  resume (after: number, reader: Reader): void {
    this.#reader?.end()
    this.#reader = reader
    for (const { at, text } of this.#said) if (at > after) reader.write(text)
    if (this.endedAt !== undefined) reader.end()
  }

  forget (): void {
    this.#said = []
    this.bytes = 0
  }

  /** An upstream that never stops talking must not fill the memory: the oldest go, but never the last. */
  #makeRoom (): void {
    while (this.bytes > maxSessionBytes && this.#said.length > 1) {
      const oldest = this.#said.shift()
      this.bytes -= oldest?.text.length ?? 0
      this.#gone = oldest?.at ?? this.#gone
    }
  }

  #idOf (at: number): string {
    return `${this.id}_${at}`
  }
}

/** The streams that can be taken up again, within bounds. */
export class Replays {
  readonly #kept = new Map<string, Replay>()

  begin (session: Session, now: number): Replay {
    this.#makeRoom(session, now)
    const replay = new Replay(session)
    this.#kept.set(replay.id, replay)
    return replay
  }

  /** The stream an event id is of, and its number there. Undefined for what is another session's, too old, no longer whole, or made up. */
  find (session: Session, eventId: string): { replay: Replay, after: number } | undefined {
    const [, id, number] = /^([\w-]{16})_(\d{1,9})$/.exec(eventId) ?? []
    const replay = this.#kept.get(id ?? '')
    if (replay === undefined || replay.session.id !== session.id || !replay.has(Number(number))) return undefined
    return { replay, after: Number(number) }
  }

  /** An ended session has nothing to take up. */
  endSession (session: Session): void {
    for (const replay of this.#kept.values()) if (replay.session.id === session.id) this.#drop(replay)
  }

  #makeRoom (session: Session, now: number): void {
    let [streams, own, all] = [0, 0, 0]
    for (const replay of [...this.#kept.values()].reverse()) {
      const isOwn = replay.session.id === session.id
      all += replay.bytes
      if (isOwn) own += replay.bytes
      if (isOwn) streams++
      const isOld = replay.endedAt !== undefined && now - replay.endedAt > keptMs
      if (isOld || all > maxBytes || (isOwn && (streams >= maxStreams || own > maxSessionBytes))) this.#drop(replay)
    }
  }

  #drop (replay: Replay): void {
    this.#kept.delete(replay.id)
    replay.forget()
  }
}
