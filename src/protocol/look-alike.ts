import unhomoglyph from 'unhomoglyph'

/**
 * What a name looks like to a person, twice: with the case of its letters forgotten before and after characters that
 * look the same are made one (Unicode TR39: `I` and `l` are, and so are `I` and `i` when case does not count).
 */
export function looksOf (name: string): [string, string] {
  const visible = name.normalize('NFKC').replace(/\p{Default_Ignorable_Code_Point}/gu, '')
  return [unhomoglyph(visible.toLowerCase()), unhomoglyph(visible).toLowerCase()]
}

/** The names that look like an earlier one → that earlier one. A name that is given twice looks like itself. */
export function lookAlikes (names: Iterable<string>): ReadonlyMap<string, string> {
  const first = new Map<string, string>()
  const result = new Map<string, string>()
  for (const name of names) {
    const [one, two] = looksOf(name).map((look, at) => `${at} ${look}`) as [string, string]
    const earlier = first.get(one) ?? first.get(two)
    if (earlier !== undefined) {
      result.set(name, earlier)
      continue
    }
    first.set(one, name)
    first.set(two, name)
  }
  return result
}
