// What is wrong with a policy: why it is not in force, what is not enforced, which nodes refuse it.

import type { Policy } from "../data/model.ts";
import { spaced } from "../data/words.ts";
import { plural } from "../format/numbers.ts";
import { Icon } from "./icon.tsx";
import { linkTo } from "./location.ts";

function Trouble({ tone, title, children }: { tone: "bad" | "warn"; title: string; children: preact.ComponentChildren }) {
  return (
    <div class={`trouble ${tone}`}>
      <h2>
        <Icon name={tone} />
        {title}
      </h2>
      {children}
    </div>
  );
}

const quiet = new Set(["Accepted", "Programmed", "Ready"]);

/** wrongConditions are those that say that something is not as it should be, each reason once: the nodes' own words say more than a count of them. */
function wrongConditions(p: Policy) {
  const said = new Set(p.nodeFailures?.length ? ["RefusedByNodes"] : []);
  return p.conditions.filter((c) => {
    const wrong = quiet.has(c.type)
      ? c.status !== "True"
      : c.status === "True" && (p.reasons?.includes(c.type) || p.reasons?.includes(c.reason));
    if (!wrong || said.has(c.reason)) return false;
    said.add(c.reason);
    return true;
  });
}

export function Troubles({ of: p }: { of: Policy }) {
  const conditions = wrongConditions(p);
  const more = (p.failed ?? 0) - (p.nodeFailures?.length ?? 0);
  const listed = conditions.length + (p.refused?.length ?? 0) + (p.nodeFailures?.length ?? 0) + (p.notEnforced?.length ?? 0);
  if (listed === 0 && !p.message) return null;
  return (
    <section class="troubles" aria-label="What needs attention">
      {p.refused && p.refused.length > 0 && (
        <Trouble tone="bad" title="Not in force as it is written">
          <ul>
            {p.refused.map((r) => (
              <li key={r}>{r}</li>
            ))}
          </ul>
        </Trouble>
      )}
      {p.nodeFailures && p.nodeFailures.length > 0 && (
        <Trouble
          tone="bad"
          title={`${plural(p.failed ?? p.nodeFailures.length, "node")} ${(p.failed ?? p.nodeFailures.length) === 1 ? "refuses" : "refuse"} it`}
        >
          <ul>
            {p.nodeFailures.map((f) => (
              <li key={f.node}>
                <a href={linkTo("nodes", "", { q: f.node })}>{f.node}</a>: {spaced(f.reason)}
                {f.message ? `: ${f.message}` : ""}
              </li>
            ))}
            {more > 0 && <li>and {plural(more, "more node", "more nodes")}</li>}
          </ul>
        </Trouble>
      )}
      {conditions.map((c) => (
        <Trouble
          key={c.type}
          tone={quiet.has(c.type) ? "bad" : "warn"}
          title={c.status === "True" ? spaced(c.type) : `Not ${spaced(c.type).toLowerCase()}: ${spaced(c.reason)}`}
        >
          <p>{c.message}</p>
        </Trouble>
      ))}
      {p.notEnforced && p.notEnforced.length > 0 && (
        <Trouble tone="warn" title="Set, and not enforced">
          <ul>
            {p.notEnforced.map((n) => (
              <li key={`${n.field} ${n.destination}`}>
                <code>{n.field}</code>
                {n.destination ? ` at ${n.destination}` : ""}: {n.reason}
              </li>
            ))}
          </ul>
        </Trouble>
      )}
      {listed === 0 && p.message && (
        <Trouble tone={p.state === "attention" ? "warn" : "bad"} title={(p.reasons ?? []).map(spaced).join(", ") || "Needs attention"}>
          <p>{p.message}</p>
        </Trouble>
      )}
    </section>
  );
}
