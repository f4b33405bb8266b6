/** Changes where a config says that its data is, and nothing else: comments and order are the operator's. */

/** The text with `data` at its top set to a path; the caller looks whether it says so now. */
export function configText(text: string, data: string): string {
  const line = `data = ${JSON.stringify(data)}`
  // Keys at the top stand before the first table.
  const [top = ''] = /^(?:(?!\s*\[).*(?:\n|$))*/.exec(text) ?? []
  const own = /^[ \t]*data[ \t]*=.*$/m
  return own.test(top) ? top.replace(own, () => line) + text.slice(top.length) : `${line}\n${text}`
}
