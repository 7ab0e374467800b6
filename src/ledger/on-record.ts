import type { Entry, Ledger } from './ledger.ts'

/** Who does something to the ledger itself: an auditor that logged in, the account at the command line, or the gateway. */
export type Actor = Pick<Entry, 'principal' | 'source'> & { readonly account?: string | undefined }

/** Puts on the record, durably, what is about to be done. Rejects with a Refusal when that is not possible. */
export async function onRecord (ledger: Pick<Ledger, 'append' | 'durable' | 'newRecord'>, { account, ...by }: Actor, detail: Readonly<Record<string, unknown>>): Promise<void> {
  ledger.append({ kind: 'admin', record: ledger.newRecord(), ...by, outcome: 'ok', detail: { ...detail, account } })
  await new Promise<void>((resolve, reject) => ledger.durable((error) => error === undefined ? resolve() : reject(error)))
}
