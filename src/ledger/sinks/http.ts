import { readFileSync } from 'node:fs'

const SEND_MS = 15_000

/** Lines in one POST; they have arrived when the answer is 2xx. Rejects otherwise. */
export async function postLines (url: string, lines: readonly string[], { type, tokenFile, signal }: { readonly type: string, readonly tokenFile?: string | undefined, readonly signal: AbortSignal }): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    // Read each time, so that a token can be changed while the gateway runs.
    headers: { 'content-type': type, ...(tokenFile !== undefined && { authorization: `Bearer ${readFileSync(tokenFile, 'utf8').trim()}` }) },
    body: lines.join(''),
    redirect: 'error',
    signal: AbortSignal.any([signal, AbortSignal.timeout(SEND_MS)]),
  })
  await response.body?.cancel()
  if (!response.ok) throw new Error(`it answered ${response.status}`)
}
