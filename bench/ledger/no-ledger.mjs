// What a gateway would be that records nothing: the base of what recording costs. See without-ledger.mjs.
import { createRecordIds } from '../../dist/src/ledger/record-id.js'

export function openLedger () {
  return {
    newRecord: createRecordIds(),
    append () {},
    durable: (done) => done(),
    written: (done) => done(),
    status: { lagRecords: 0, lagBytes: 0, lastShippedAt: undefined, stalledMs: 0, leftMs: undefined, healthy: true },
    caughtUp: Promise.resolve(),
    close: async () => {},
  }
}
