import type { IdentitySchema } from './schema-identity.ts'
import type { LedgerSchema } from './schema-ledger.ts'

/** Every table, as Kysely sees it. */
export interface Schema extends LedgerSchema, IdentitySchema {}
