import type { Dispatcher } from 'undici'

type Response = Dispatcher.ResponseData

/** Code of the error that stands for an answer by which a server says nothing but that it cannot be used now. */
export const unreachable = 503

/** What an HTTP answer holds: messages as events, one message, or none. */
export function contentOf ({ statusCode, headers }: Response): 'events' | 'message' | 'nothing' {
  const type = String(headers['content-type'] ?? '').toLowerCase()
  if (type.startsWith('text/event-stream') && statusCode < 300) return 'events'
  if (type.startsWith('application/json') && !isRedirect(statusCode) && !isRefused(statusCode) && statusCode < 500) return 'message'
  return 'nothing'
}

/** The text of a body; undefined for one that is longer than `most`. */
export async function textOf (body: Response['body'], most: number): Promise<string | undefined> {
  let text = ''
  body.setEncoding('utf8')
  for await (const chunk of body) {
    text += String(chunk)
    if (text.length > most) {
      body.destroy()
      return undefined
    }
  }
  return text
}

/** What an answer without a message says to the caller, by its status, and the code of the error that says so. */
export function sayingOf (status: number): readonly [message: string, code: number | undefined] {
  if (isRedirect(status)) return ['The remote server wants to send the gateway elsewhere. Redirects are not followed: write the final address into "url".', unreachable]
  if (isRefused(status)) return ['The remote server refused the credentials of the gateway. Tell the operator.', unreachable]
  // These say nothing about the revisions that the server speaks.
  return [`The remote server answered with HTTP ${status}.`, status === 429 || status >= 500 ? unreachable : undefined]
}

/** Whether a server wants to send the gateway elsewhere. */
export function isRedirect (status: number): boolean {
  return status >= 300 && status < 400
}

function isRefused (status: number): boolean {
  return status === 401 || status === 403
}
