// A table of any length: only the rows in sight are made. Arrow keys go from row to row, and headings sort.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { type SortKey, sorted } from "../data/filter.ts";
import { scrollFor, step, windowOf } from "../data/window.ts";
import { narrow } from "./narrow.ts";

export interface Column<T> {
  key: string;
  title: string;
  cell: (row: T) => preact.ComponentChildren;
  /** Makes the column sortable. */
  by?: SortKey<T>;
  /** Its first order descends. */
  down?: boolean;
  /** A number: it stands right, with figures of one width. */
  number?: boolean;
  /** Its part of the width, of the parts of all columns; or a width in pixels. */
  part?: number;
  width?: number;
  /** Its width on narrow pages, in pixels. */
  small?: number;
  /** Where it is left out: below wide (1100 pixels) or below medium (760). */
  only?: "wide" | "medium";
}

interface Props<T> {
  label: string;
  rows: readonly T[];
  columns: readonly Column<T>[];
  id: (row: T) => string;
  sort?: { column: string; descending: boolean };
  onSort?: (sort: string) => void;
  rowHeight?: number;
  /** Of narrow pages: other columns, of two lines. */
  narrowColumns?: readonly Column<T>[];
  /** The most rows that are in sight at once; more scroll. */
  most?: number;
  empty: preact.ComponentChildren;
  tone?: (row: T) => string | undefined;
  onPick?: (row: T) => void;
  picked?: string | undefined;
  /** Rows come in above the others: what is in sight stays there, unless it is the first. */
  growsAbove?: boolean;
}

/** sortRows orders rows as a column does. */
export function sortRows<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  sort: { column: string; descending: boolean },
): readonly T[] {
  const by = columns.find((c) => c.key === sort.column)?.by;
  return by ? sorted(rows, by, sort.descending) : rows;
}

const twoLines = 46;

export function Table<T>(given: Props<T>) {
  const { narrowColumns } = given;
  const props = narrowColumns && narrow.value ? { ...given, columns: narrowColumns, rowHeight: twoLines } : given;
  const { rows, columns, rowHeight = 34, most = 16 } = props;
  const box = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState({ top: 0, height: rowHeight * most });
  const [active, setActive] = useState(0);
  const wantsFocus = useRef(false);
  const headHeight = 32;

  useLayoutEffect(() => {
    const el = box.current;
    if (!el) return;
    const seen = () =>
      setAt((was) => {
        const height = Math.max(rowHeight, el.clientHeight - headHeight);
        const top = el.scrollTop - (el.scrollTop % rowHeight); // within a row nothing else comes in sight
        return was.top === top && was.height === height ? was : { top, height };
      });
    seen();
    const resized = new ResizeObserver(seen);
    resized.observe(el);
    el.addEventListener("scroll", seen, { passive: true });
    return () => {
      resized.disconnect();
      el.removeEventListener("scroll", seen);
    };
  }, [rowHeight]);

  const firstId = useRef("");
  useLayoutEffect(() => {
    const el = box.current;
    const was = firstId.current;
    firstId.current = rows[0] === undefined ? "" : props.id(rows[0]);
    if (!props.growsAbove || !el || el.scrollTop === 0 || was === firstId.current) return;
    const moved = rows.findIndex((r) => props.id(r) === was);
    if (moved > 0) el.scrollTop += moved * rowHeight;
  });

  useLayoutEffect(() => {
    if (!wantsFocus.current) return;
    wantsFocus.current = false;
    box.current?.querySelector<HTMLElement>(`tr[data-row="${active}"]`)?.focus({ preventScroll: true });
  });

  const onKeyDown = (e: KeyboardEvent) => {
    const from = (e.target as HTMLElement).closest<HTMLElement>("tr[data-row]");
    if (!from || e.ctrlKey || e.metaKey || e.altKey || (e.target as HTMLElement).matches("input, select, textarea")) return;
    const el = box.current;
    const row = Number(from.dataset.row);
    if (e.key === "Enter" && e.target === from) {
      if (props.onPick) props.onPick(rows[row] as T);
      else from.querySelector<HTMLElement>("a, button")?.click();
      return;
    }
    const to = step(e.key, row, rows.length, Math.max(1, Math.floor(at.height / rowHeight) - 1));
    if (to === undefined || !el) return;
    e.preventDefault();
    el.scrollTop = scrollFor(to, rowHeight, el.scrollTop, at.height);
    wantsFocus.current = true;
    setActive(to);
    setAt({ top: el.scrollTop, height: at.height });
  };

  if (rows.length === 0) return <p class="empty">{props.empty}</p>;
  const w = windowOf(rows.length, rowHeight, at.top, at.height);
  const focusable = Math.max(w.first, Math.min(active, w.end - 1, rows.length - 1));
  return (
    <div
      class="table-box"
      ref={box}
      tabIndex={0}
      role="group"
      aria-label={props.label}
      onKeyDown={onKeyDown}
      style={{ maxHeight: `${headHeight + rowHeight * most + 2}px` }}
    >
      <table class="table" aria-label={props.label} aria-rowcount={rows.length + 1}>
        <Head {...props} />
        <tbody>
          {w.before > 0 && <Spacer height={w.before} columns={columns.length} />}
          {rows.slice(w.first, w.end).map((row, i) => {
            const n = w.first + i;
            const id = props.id(row);
            const tone = props.tone?.(row);
            return (
              <tr
                key={id}
                data-row={n}
                aria-rowindex={n + 2}
                tabIndex={n === focusable ? 0 : -1}
                class={tone}
                aria-current={props.onPick && props.picked === id ? "true" : undefined}
                onFocus={() => setActive(n)}
                onClick={props.onPick ? (e) => (e.target as HTMLElement).closest("a, button") || props.onPick?.(row) : undefined}
                style={{ height: `${rowHeight}px` }}
              >
                {columns.map((c) => (
                  <td key={c.key} class={classOf(c)}>
                    {c.cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
          {w.after > 0 && <Spacer height={w.after} columns={columns.length} />}
        </tbody>
      </table>
    </div>
  );
}

const classOf = <T,>(c: Column<T>) => [c.number && "number", c.only && `only-${c.only}`].filter(Boolean).join(" ") || undefined;

function Head<T>({ columns, sort, onSort }: Props<T>) {
  const parts = columns.reduce((sum, c) => sum + (c.width ? 0 : (c.part ?? 1)), 0);
  return (
    <thead>
      <tr>
        {columns.map((c) => {
          const is = sort?.column === c.key;
          const pixels = (narrow.value && c.small) || c.width;
          const width = pixels ? `${pixels}px` : `${((c.part ?? 1) / parts) * 100}%`;
          const next = is ? !sort.descending : Boolean(c.down);
          return (
            <th
              key={c.key}
              scope="col"
              class={classOf(c)}
              style={{ width }}
              aria-sort={is ? (sort.descending ? "descending" : "ascending") : undefined}
            >
              {c.by && onSort ? (
                <button type="button" class="sort" onClick={() => onSort((next ? "-" : "") + c.key)}>
                  {c.title}
                  <span class="arrow" aria-hidden="true">
                    {is ? (sort.descending ? "↓" : "↑") : ""}
                  </span>
                </button>
              ) : (
                c.title
              )}
            </th>
          );
        })}
      </tr>
    </thead>
  );
}

function Spacer({ height, columns }: { height: number; columns: number }) {
  return (
    <tr aria-hidden="true" class="spacer">
      <td colSpan={columns} style={{ height: `${height}px` }} />
    </tr>
  );
}
