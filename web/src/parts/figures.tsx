// The figures that a page begins with: each a number, its name, and what is wrong with it.

import { healthOf, worthALook } from "../data/flows.ts";
import type { Figures } from "../data/model.ts";
import { percent, plural, rate, ratio, retryShare, success } from "../format/numbers.ts";
import { latency } from "../format/time.ts";
import { Icon } from "./icon.tsx";
import { type Tone, toneOfHealth } from "./status.tsx";

export interface Figure {
  name: string;
  value: preact.ComponentChildren;
  tone?: Tone;
  more?: preact.ComponentChildren;
  href?: string;
}

export function FigureRow({ figures, label }: { figures: readonly Figure[]; label: string }) {
  return (
    <dl class="figure-row" aria-label={label}>
      {figures.map((f) => (
        <div class={`figure ${f.tone ?? "plain"}`} key={f.name}>
          <dt>{f.name}</dt>
          <dd>
            {f.tone === "bad" || f.tone === "warn" ? <Icon name={f.tone} /> : null}
            {f.href ? <a href={f.href}>{f.value}</a> : f.value}
            {f.more && <small>{f.more}</small>}
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** figuresOf are those of calls. */
export function figuresOf(f: Figures): Figure[] {
  const share = success(f);
  const failed = f.calls - f.successes;
  return [
    {
      name: "Success",
      value: share === undefined ? "–" : percent(share),
      tone: share === undefined || share >= worthALook ? "plain" : toneOfHealth(healthOf(f)),
      more: failed > 0 ? `${plural(failed, "call")} failed` : undefined,
    },
    { name: "Calls per second", value: rate(f.perSecond) },
    { name: "Retries", value: ratio(retryShare(f) ?? 0), more: f.retries > 0 ? plural(f.retries, "retry", "retries") : undefined },
    { name: "P50", value: latency(f.p50Seconds) },
    { name: "P99", value: latency(f.p99Seconds) },
  ];
}
