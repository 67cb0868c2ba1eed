// Filters of lists: words that must all be contained, in any order, whatever their case. A word with - before it must not be.

export type Matcher = (text: string) => boolean;

/** matcher makes a filter of what a person wrote. */
export function matcher(query: string | undefined): Matcher {
  const words = (query ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = words.filter((w) => !w.startsWith("-") || w === "-");
  const unwanted = words.filter((w) => w.startsWith("-") && w !== "-").map((w) => w.slice(1));
  if (words.length === 0) return () => true;
  return (text) => {
    const t = text.toLowerCase();
    return wanted.every((w) => t.includes(w)) && !unwanted.some((w) => t.includes(w));
  };
}

/** A column's order is by a number or by a text. What has none comes last, whichever way is sorted. */
export type SortKey<T> = (row: T) => number | string | undefined;

/** sorted returns rows in the order of a key; rows that are equal stay as they are. */
export function sorted<T>(rows: readonly T[], key: SortKey<T>, descending: boolean): T[] {
  const keyed = rows.map((row, at) => ({ row, at, key: key(row) }));
  keyed.sort((a, b) => {
    if (a.key === undefined || b.key === undefined) return Number(a.key === undefined) - Number(b.key === undefined) || a.at - b.at;
    const c = typeof a.key === "number" && typeof b.key === "number" ? a.key - b.key : compareText(String(a.key), String(b.key));
    return (descending ? -c : c) || a.at - b.at;
  });
  return keyed.map((k) => k.row);
}

const compareText = new Intl.Collator("en", { numeric: true }).compare;

/** Sort is what a table is sorted by, as addresses have it: a column, with - before it where it descends. */
export function parseSort(text: string | undefined, unless: string): { column: string; descending: boolean } {
  const t = text || unless;
  return t.startsWith("-") ? { column: t.slice(1), descending: true } : { column: t, descending: false };
}
