import { setTimeout as pause } from 'node:timers/promises'
import type { Dispatcher } from 'undici'
import { EventReader } from './events.ts'

type Response = Dispatcher.ResponseData

interface Around {
  readonly url: URL
  readonly maxMessage: number
  note (text: string): void
  gone (reason: string): void
}

/** A stream that ended is opened again after so many milliseconds, unless its server says something else. */
export const reopenMs = 1_000
/** Bounds of what a server may say of that, and of the pauses while it is away. */
const leastWaitMs = 100
const mostWaitMs = 30_000
/** Statuses below 500 that say nothing about whether there is a stream later. */
const notNow: ReadonlySet<number> = new Set([408, 425, 429])

/**
 * Waits until a stream may be opened again: for as long as its server said, within bounds, and twice as long each time
 * that it could not be opened.
 * @throws Error when `signal` comes first
 */
export async function waitToReopen (saidMs: number, failures: number, signal: AbortSignal): Promise<void> {
  await pause(Math.min(Math.max(saidMs, leastWaitMs) * 2 ** failures, mostWaitMs), undefined, { signal, ref: false })
}

/** Whether the answer to a GET is a stream of events. */
export function isStream ({ statusCode, headers }: Response): boolean {
  return statusCode === 200 && String(headers['content-type']).startsWith('text/event-stream')
}

/**
 * The stream on which a session-era server says what belongs to no request: opened by `open`, which is given the id of the
 * last event, and again whenever it ends or cannot be had just now, until `signal`. Returns at once where the server has none.
 */
export async function listen ({ maxMessage, note }: Around, { open, said, signal }: { open (last: string | undefined): Promise<Response>, said (data: string): void, readonly signal: AbortSignal }): Promise<void> {
  let last: string | undefined
  let [waitMs, failures] = [reopenMs, 0]
  while (!signal.aborted) {
    const reader = new EventReader(maxMessage, ({ id, data }) => {
      last = id ?? last
      said(data)
    })
    failures++
    try {
      const answer = await open(last)
      if (!isStream(answer)) {
        await answer.body.dump()
        if (!isAway(answer)) return
        throw new Error(`HTTP ${answer.statusCode}`)
      }
      failures = 0
      for await (const chunk of answer.body) reader.push(chunk as Buffer)
    } catch (error) {
      if (!signal.aborted) note(`the stream of the remote server broke: ${reasonOf(error)}`)
    }
    waitMs = reader.retryMs ?? waitMs
    await waitToReopen(waitMs, failures, signal).catch(() => {}) // then nobody listens any more
  }
}

/**
 * HTTP+SSE of 2024-11-05: everything a server says comes on one stream, whose first event says where to post. The same
 * origin, or nowhere. When the stream ends, the server is gone.
 */
export function readOldStream (body: Response['body'], { url, maxMessage, gone }: Around, { said, postTo }: { said (data: string): void, postTo (url: URL): void }): void {
  const reader = new EventReader(maxMessage, ({ type, data }) => {
    if (type !== 'endpoint') return said(data)
    const endpoint = URL.canParse(data, url.href) ? new URL(data, url) : undefined
    if (endpoint?.origin !== url.origin) return gone('its endpoint is at another origin')
    postTo(endpoint)
  })
  const drain = async (): Promise<void> => { for await (const chunk of body) reader.push(chunk as Buffer) }
  drain().then(() => gone('the stream ended'), (error: unknown) => gone(reasonOf(error)))
}

/** Whether a server that gave no stream may have one later: it, or what stands before it, does not work just now. */
function isAway ({ statusCode }: Response): boolean {
  return (statusCode >= 500 && statusCode !== 501) || notNow.has(statusCode)
}

/** What an error says, for the operator. */
export function reasonOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
