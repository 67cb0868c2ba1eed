// The destinations of a policy, as it names them.

import { callee, healthOf } from "../data/flows.ts";
import type { Flow, Target } from "../data/model.ts";
import { rate } from "../format/numbers.ts";
import { duration, latency } from "../format/time.ts";
import { DestinationLink } from "./flows.tsx";
import { Badge, Breaker, Success } from "./status.tsx";
import { type Column, Table } from "./table.tsx";

const none = <span class="faint">–</span>;

const enforcedWords: Record<string, string> = {
  Full: "in full",
  Partial: "in part",
  ConnectionOnly: "connections only",
  None: "not at all",
};

const columnsOf = (known: ReadonlySet<string>): Column<Target>[] => [
  { key: "to", title: "To", part: 4, cell: (t) => (known.has(t.to) ? <DestinationLink name={t.to} /> : <span title={t.to}>{t.to}</span>) },
  { key: "protocol", title: "Protocol", width: 84, only: "wide", cell: (t) => t.protocol ?? "–" },
  {
    key: "endpoints",
    title: "Endpoints",
    width: 100,
    number: true,
    only: "medium",
    cell: (t) =>
      t.endpoints === undefined ? (
        none
      ) : (
        <span
          class={t.endpoints === 0 ? "value bad" : t.ejected ? "value warn" : "value"}
          title={t.ejected ? `${t.ejected} of ${t.endpoints} are ejected on the node that keeps out the most` : undefined}
        >
          {t.ejected ? `${t.endpoints - t.ejected} of ` : ""}
          {t.endpoints}
        </span>
      ),
  },
  {
    key: "enforced",
    title: "Enforced",
    width: 130,
    only: "medium",
    cell: (t) =>
      !t.enforced ? (
        none
      ) : t.enforced === "Full" ? (
        <span class="faint">in full</span>
      ) : (
        <Badge tone="warn">{enforcedWords[t.enforced] ?? t.enforced}</Badge>
      ),
  },
  { key: "rps", title: "Calls/s", width: 76, number: true, cell: (t) => (t.figures ? rate(t.figures.perSecond) : none) },
  {
    key: "success",
    title: "Success",
    width: 92,
    number: true,
    cell: (t) => (t.figures ? <Success of={t.figures} health={healthOf(t.figures)} /> : none),
  },
  { key: "p99", title: "P99", width: 66, number: true, only: "medium", cell: (t) => (t.figures ? latency(t.figures.p99Seconds) : none) },
  {
    key: "breaker",
    title: "Breaker",
    width: 150,
    cell: (t) => (
      <>
        <Breaker state={t.breaker} />
        {t.breaker && t.breaker !== "closed" && (
          <span class="faint">
            {" "}
            {t.breakersOpen && t.breakersOpen > 1 ? `${t.breakersOpen}, ` : ""}
            {t.breakerSeconds ? duration(t.breakerSeconds) : ""}
          </span>
        )}
      </>
    ),
  },
];

const few = new Set(["to", "success", "breaker"]);
const narrowed = (columns: Column<Target>[]) =>
  columns.filter((c) => few.has(c.key)).map((c) => (c.key === "breaker" ? { ...c, width: 110 } : c));

export function Targets({ of, flows }: { of: readonly Target[]; flows: readonly Flow[] }) {
  const columns = columnsOf(new Set(flows.map(callee)));
  return (
    <>
      <Table
        label="Destinations"
        rows={of}
        columns={columns}
        narrowColumns={narrowed(columns)}
        id={(t) => t.to}
        most={16}
        empty="No destination is known of it yet."
      />
      {of.some((t) => t.tlsFailures?.length) && (
        <ul class="note warn">
          {of.flatMap((t) => (t.tlsFailures ?? []).map((f) => <li key={`${t.to} ${f}`}>{`${t.to}: TLS fails: ${f}`}</li>))}
        </ul>
      )}
    </>
  );
}
