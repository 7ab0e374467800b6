import { Refusal } from '../errors.ts'

/** A part of a long list, and the place where the next part begins. */
export interface Page<Row> { readonly rows: readonly Row[], readonly next: readonly string[] | undefined }

export interface PageRequest {
  /** Rows at most. */
  readonly limit: number
  /** The place that the page before ended at. */
  readonly after: readonly string[] | undefined
}

/** The page of these rows, which were asked for one more than fit; `placeOf` says where a row stands. */
export function cutPage<Row, Shown> (rows: readonly Row[], limit: number, placeOf: (row: Row) => readonly string[], show: (row: Row) => Shown): Page<Shown> {
  const last = rows[limit - 1]
  return { rows: rows.slice(0, limit).map(show), next: rows.length > limit && last !== undefined ? placeOf(last) : undefined }
}

/** A place in a list by time; undefined for the beginning. Refuses (400) what no page ever ended at. */
export function timePlace (after: readonly string[] | undefined): { readonly time: string, readonly id: string } | undefined {
  if (after === undefined) return undefined
  const [time = '', id] = after
  if (!/^\d{1,17}$/.test(time) || id === undefined) throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: NO_PLACE })
  return { time, id }
}

export const NO_PLACE = '"after" is not the "next" of an earlier page of this list. Leave it out to begin anew.'
