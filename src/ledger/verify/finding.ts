/** What is wrong with the record. */
export type Flaw =
  | 'edited' | 'missing' | 'duplicated' | 'reordered' | 'cut off' | 'added' | 'rewritten'
  | 'chain missing' | 'not signed' | 'bad signature' | 'unknown key'

/** The first thing that is wrong with a chain. */
export interface Finding {
  readonly flaw: Flaw
  readonly chain: string
  readonly node: string
  /** Number in the chain, where one can be named. */
  readonly seq?: number | undefined
  /** Id of the record that lies there. */
  readonly record?: string | undefined
  /** One sentence for a person. */
  readonly text: string
}
