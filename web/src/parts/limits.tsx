// The limits in force at a destination, and what each node has of them.

import type { Limit, Share } from "../data/model.ts";
import { count, plural, rate } from "../format/numbers.ts";
import { Meter } from "./endpoints.tsx";
import { linkTo } from "./location.ts";
import { type Column, Table } from "./table.tsx";

const scopes: Record<string, string> = { Pod: "each pod", Node: "each node", Cluster: "the whole cluster" };

function columnsOf(l: Limit): Column<Share>[] {
  const concurrent = l.kind === "Concurrency";
  return [
    { key: "node", title: "Node", part: 3, cell: (s) => <a href={linkTo("nodes", "", { q: s.node })}>{s.node}</a> },
    ...(l.shares.some((s) => s.pod) ? [{ key: "pod", title: "Pod", part: 3, cell: (s: Share) => s.pod ?? "" }] : []),
    { key: "max", title: concurrent ? "May" : "Calls/s", width: 80, small: 56, number: true, cell: (s) => rate(s.max) },
    ...(concurrent
      ? [
          {
            key: "inUse",
            title: "Under way",
            width: 130,
            small: 110,
            number: true,
            cell: (s: Share) => (
              <Meter
                share={s.max > 0 ? (s.inUse ?? 0) / s.max : 0}
                text={count(s.inUse ?? 0)}
                tone={(s.inUse ?? 0) >= s.max ? "bad" : ""}
              />
            ),
          },
        ]
      : []),
    { key: "waiting", title: "Waiting", width: 80, small: 64, number: true, cell: (s) => count(s.waiting ?? 0) },
  ];
}

function One({ of: l }: { of: Limit }) {
  const what = l.kind === "Concurrency" ? `${rate(l.max)} calls at once` : `${rate(l.max)} calls per second`;
  return (
    <div class="limit">
      <h3>
        {l.adaptive ? "up to " : ""}
        {what} for {scopes[l.scope] ?? l.scope}
      </h3>
      <p class="faint">
        of <a href={linkTo("policy", l.policy)}>{l.policy}</a> at {l.target}
        {l.rule ? `, rule ${l.rule}` : ""}
        {l.kind === "Concurrency" ? `; ${count(l.inUse ?? 0)} under way` : ""}
        {l.waiting > 0 ? <strong class="value warn">{`; ${plural(l.waiting, "call")} waiting`}</strong> : "; none waiting"}
      </p>
      {l.shares.length > 0 && (
        <Table
          label={`Shares of ${what}`}
          rows={l.shares}
          columns={columnsOf(l)}
          id={(s) => `${s.node} ${s.pod ?? ""}`}
          rowHeight={28}
          most={6}
          empty=""
        />
      )}
      {l.leftOut ? <p class="faint">and {plural(l.leftOut, "more with less", "more with less")}</p> : null}
    </div>
  );
}

export function Limits({ of }: { of: readonly Limit[] }) {
  return (
    <div class="limits">
      {of.map((l) => (
        <One key={[l.policy, l.target, l.rule, l.kind, l.scope].join("\n")} of={l} />
      ))}
    </div>
  );
}
