import { linesOf } from './checkpoint-file.ts'

const SEND_MS = 10_000
const READ_MS = 60_000

/** `POST url` with the checkpoint as its body. Throws when the answer is not 2xx. */
export async function sendToAnchor (url: string, line: string, signal: AbortSignal): Promise<void> {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: line, redirect: 'error', signal: AbortSignal.any([signal, AbortSignal.timeout(SEND_MS)]) })
  await response.body?.cancel()
  if (!response.ok) throw new Error(`the anchor answered ${response.status}`)
}

/** `GET url`: every checkpoint it was sent, one a line. Throws an Error that says what the anchor has to do. */
export async function readAnchor (url: string): Promise<string[]> {
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(READ_MS) })
  if (!response.ok) throw new Error(`The anchor answered ${response.status}. For a GET it has to give back the checkpoints it was sent, one a line.`)
  return linesOf(await response.text())
}
