/** Separates upstream and name on the aggregated endpoint. Upstream names cannot contain it, so splitting is unique. */
const separator = '__'

/** `files` + `read_file` → `files__read_file`. */
export function qualify (upstream: string, name: string): string {
  return upstream + separator + name
}

/** `files__read_file` → its parts; undefined when there is no upstream in the name. */
export function split (qualified: string): { upstream: string, name: string } | undefined {
  const at = qualified.indexOf(separator)
  if (at <= 0 || at + separator.length === qualified.length) return undefined
  return { upstream: qualified.slice(0, at), name: qualified.slice(at + separator.length) }
}
