// Changes as marks on lanes, on the time axis of the chart above them; breakers that were open as bars.

import { type Lane, lanes, latestOf, type Mark, marksOf, noteOf, type Span, spansOf } from "../data/changes.ts";
import type { Change } from "../data/model.ts";
import { spaced } from "../data/words.ts";
import { plural } from "../format/numbers.ts";
import { clock, parse } from "../format/time.ts";
import { narrow } from "./narrow.ts";

interface Props {
  changes: readonly Change[];
  from: string;
  to: string;
  /** Is given the change whose mark was chosen. */
  onPick?: (c: Change) => void;
  /** Says when it begins and ends, where no chart does. */
  times?: boolean;
  /** The one lane to show. */
  only?: Lane;
  /** Only some kinds of changes are among them, so that it is not known when what has begun has ended: there are no bars. */
  some?: boolean;
}

function nameOfMark(m: Mark): string {
  const first = m.changes[0];
  if (!first) return "";
  if (m.changes.length > 1) {
    const kinds = [...new Set(m.changes.map((c) => spaced(c.kind)))].slice(0, 4).join(", ");
    return `${plural(m.changes.length, "change")} around ${clock(parse(first.at) ?? 0)}: ${kinds}`;
  }
  return [`${spaced(first.kind)} at ${clock(parse(first.at) ?? 0)}`, first.policy ?? first.node, noteOf(first)].filter(Boolean).join(": ");
}

function nameOfSpan(s: Span): string {
  const what = s.kind === "open" ? "Breaker open" : "Endpoints ejected";
  return `${what}: ${s.policy}${s.target && `, ${s.target}`}${s.goesOn ? ", and still so" : ""}`;
}

const at = (share: number) => `${(share * 100).toFixed(2)}%`;

export function Timeline({ changes, from, to, onPick, times, only, some }: Props) {
  const begin = parse(from) ?? 0;
  const end = parse(to) ?? 0;
  const spans = some ? [] : latestOf(spansOf(changes, begin, end), 60);
  return (
    <div class="timeline" role="group" aria-label="Changes on the time of the chart">
      {lanes.map(({ lane, title }) => {
        const marks = marksOf(changes, lane, begin, end, narrow.value ? 0.075 : 0.02);
        if (only && lane !== only) return null;
        if (marks.length === 0 && !(lane === "breakers" && spans.length > 0)) return null;
        return (
          <div class="lane" key={lane}>
            <span class="lane-title">{title}</span>
            <div class="lane-marks">
              {lane === "breakers" &&
                spans.map((s) => (
                  <span
                    key={`${s.kind} ${s.policy} ${s.target} ${s.from}`}
                    class={`span ${s.kind}`}
                    title={nameOfSpan(s)}
                    style={{ left: at(s.from), width: at(Math.max(0.004, s.to - s.from)) }}
                  />
                ))}
              {marks.map((m) => (
                <button
                  key={m.at}
                  type="button"
                  class={`mark is-${m.tone}`}
                  style={{ left: at(m.at) }}
                  title={nameOfMark(m)}
                  aria-label={nameOfMark(m)}
                  onClick={() => m.changes[0] && onPick?.(m.changes[0])}
                >
                  {m.changes.length > 1 ? (m.changes.length > 99 ? "99+" : m.changes.length) : ""}
                </button>
              ))}
            </div>
          </div>
        );
      })}
      {times && (
        <p class="lane-times">
          <time dateTime={from}>{clock(begin)}</time>
          <time dateTime={to}>{clock(end)}</time>
        </p>
      )}
    </div>
  );
}
