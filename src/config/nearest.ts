/** The known name that was probably meant, or undefined when none is close. */
export function nearest (name: string, known: Iterable<string>): string | undefined {
  const wanted = plain(name)
  const limit = Math.max(1, Math.floor(wanted.length / 3))
  let best: string | undefined
  let least = limit + 1
  for (const candidate of known) {
    const distance = editDistance(wanted, plain(candidate))
    if (distance < least) [best, least] = [candidate, distance]
  }
  return best
}

/** ` – did you mean "x"?`, or nothing when no known name is close. */
export function didYouMean (name: string, known: Iterable<string>): string {
  const near = nearest(name, known)
  return near === undefined ? '' : ` – did you mean "${near}"?`
}

/** Case, and the separators people mix up, do not count as a difference. */
function plain (name: string): string {
  return name.toLowerCase().replace(/[-_ ]/g, '')
}

/** Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
function editDistance (a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const line = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let cost = Math.min(cell(last, column) + 1, cell(line, column - 1) + 1, cell(last, column - 1) + (same ? 0 : 1))
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, cell(before, column - 2) + 1)
      }
      line.push(cost)
    }
    before = last
    last = line
  }
  return cell(last, b.length)
}

function cell (line: readonly number[], column: number): number {
  return line[column] ?? Number.POSITIVE_INFINITY
}
