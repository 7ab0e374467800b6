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

/** Whether the answer to a GET is a stream of events. */
export function isStream ({ statusCode, headers }: Response): boolean {
  return statusCode === 200 && String(headers['content-type']).startsWith('text/event-stream')
}

/**
 * The stream on which a session-era server says what belongs to no request: opened by `open`, which is given the id of the
 * last event, and again whenever it ends, until `signal`. Returns at once where the server has none.
 */
export async function listen ({ maxMessage, note }: Around, { open, said, signal }: { open (last: string | undefined): Promise<Response>, said (data: string): void, readonly signal: AbortSignal }): Promise<void> {
  let last: string | undefined
  while (!signal.aborted) {
    try {
      const answer = await open(last)
      if (!isStream(answer)) return await answer.body.dump()
      const reader = new EventReader(maxMessage, ({ id, data }) => {
        last = id ?? last
        said(data)
      })
      for await (const chunk of answer.body) reader.push(chunk as Buffer)
    } catch (error) {
      if (!signal.aborted) note(`the stream of the remote server broke: ${reasonOf(error)}`)
    }
    await new Promise((resolve) => setTimeout(resolve, reopenMs).unref())
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

/** What an error says, for the operator. */
export function reasonOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
