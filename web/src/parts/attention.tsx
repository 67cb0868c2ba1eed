// What is wrong now: open breakers, policies that need attention, callers of what fails, agents that are away.

import { useAnswer } from "../data/answer.ts";
import { failing, healthOf, Warning } from "../data/flows.ts";
import type { Cluster, Flow, Problems } from "../data/model.ts";
import { count, percent, plural, rate, success } from "../format/numbers.ts";
import { Breakers, useBreakers } from "./breakers.tsx";
import { cluster } from "./cluster.ts";
import { DestinationLink, WorkloadLink } from "./flows.tsx";
import { Icon } from "./icon.tsx";
import { linkTo } from "./location.ts";

const listed = 5;

function Card({
  title,
  tone,
  href,
  children,
}: {
  title: string;
  tone: "bad" | "warn" | "good";
  href: string;
  children: preact.ComponentChildren;
}) {
  return (
    <section class={`card ${tone}`} aria-label={title}>
      <h3>
        <Icon name={tone === "good" ? "ok" : tone} />
        <a href={href}>{title}</a>
      </h3>
      {children}
    </section>
  );
}

/** Failing: who calls what fails most, the calls that fail each second first. */
function Failing({ flows }: { flows: readonly Flow[] }) {
  const ill = flows.filter((f) => healthOf(f) >= Warning && failing(f) > 0).sort((a, b) => failing(b) - failing(a));
  if (ill.length === 0) {
    return (
      <Card title="No flow fails" tone="good" href={linkTo("overview", "", { sort: "success" })}>
        <p class="faint">At least 99% of the calls of each flow end well.</p>
      </Card>
    );
  }
  return (
    <Card title={`${plural(ill.length, "flow")} failing`} tone="bad" href={linkTo("overview", "", { sort: "-failing" })}>
      <ul>
        {ill.slice(0, listed).map((f) => (
          <li key={`${f.namespace} ${f.workload} ${f.destination} ${f.target} ${f.policy} ${f.protocol}`}>
            <span class="who">
              <WorkloadLink flow={f} /> → <DestinationLink name={f.destination || f.target || ""} />
            </span>
            <span class="value bad">{percent(success(f) ?? 0)}</span>
            <span class="faint">{rate(failing(f))}/s fail</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** Hammering: whose retries add most load. */
function Retrying({ flows }: { flows: readonly Flow[] }) {
  const perSecond = (f: Flow) => (f.calls > 0 ? (f.retries / f.calls) * f.perSecond : 0);
  const most = flows
    .filter((f) => f.retries > 0)
    .sort((a, b) => perSecond(b) - perSecond(a))
    .slice(0, listed);
  if (most.length === 0) return null;
  return (
    <Card title="Most retries" tone="warn" href={linkTo("overview", "", { sort: "-retries" })}>
      <ul>
        {most.map((f) => (
          <li key={`${f.namespace} ${f.workload} ${f.destination} ${f.target} ${f.policy} ${f.protocol}`}>
            <span class="who">
              <WorkloadLink flow={f} /> → <DestinationLink name={f.destination || f.target || ""} />
            </span>
            <span class="value">{rate(perSecond(f))}/s</span>
            <span class="faint">of {rate(f.perSecond)}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** System: fairlead itself, and its policies. */
function System({ of }: { of: Cluster }) {
  const problems = useAnswer<Problems>("api/v1/problems", "problems").data;
  const agents = of.agents ? of.agents.desired - of.agents.ready : 0;
  const manager = of.manager && of.manager.ready < of.manager.desired;
  const found = problems ? problems.problems + problems.warnings : 0;
  const tone = agents > 0 || manager || (problems?.problems ?? 0) > 0 ? "bad" : of.policies.attention > 0 || found > 0 ? "warn" : "good";
  const lines: { text: string; href: string; tone: string }[] = [];
  if (of.policies.attention > 0)
    lines.push({
      text: `${count(of.policies.attention)} of ${plural(of.policies.all, "policy", "policies")} need attention`,
      href: linkTo("policies", "", { state: "attention" }),
      tone: "warn",
    });
  if (agents > 0)
    lines.push({
      text: `${count(agents)} of ${plural(of.agents?.desired ?? 0, "agent")} not ready`,
      href: linkTo("nodes", "", { state: "away" }),
      tone: "bad",
    });
  if (of.manager && manager)
    lines.push({ text: `manager: ${of.manager.ready} of ${of.manager.desired} ready`, href: linkTo("problems"), tone: "bad" });
  if (problems && found > 0)
    lines.push({
      text: `${plural(problems.problems, "problem")}, ${plural(problems.warnings, "warning")} found`,
      href: linkTo("problems"),
      tone: problems.problems > 0 ? "bad" : "warn",
    });
  return (
    <Card
      title={tone === "good" ? "Policies and agents are well" : "Policies and agents"}
      tone={tone}
      href={linkTo(tone === "good" ? "policies" : "problems")}
    >
      {lines.length > 0 ? (
        <ul>
          {lines.map((l) => (
            <li key={l.text}>
              <a href={l.href} class={`value ${l.tone}`}>
                {l.text}
              </a>
            </li>
          ))}
        </ul>
      ) : (
        <p class="faint">
          {plural(of.policies.all, "policy", "policies")} in force{of.agents ? `, ${plural(of.agents.ready, "agent")} ready` : ""}.
        </p>
      )}
    </Card>
  );
}

export function Attention({ flows }: { flows: readonly Flow[] }) {
  const c = cluster.value.data;
  const breakers = useBreakers(flows);
  const open = breakers.filter((b) => b.state === "open").length;
  return (
    <section class="attention" aria-labelledby="attention">
      <h2 id="attention" class="unseen">
        What needs attention
      </h2>
      <Card
        title={
          open > 0
            ? `${plural(open, "breaker")} open`
            : breakers.length > 0
              ? "Breakers probing, or endpoints ejected"
              : "No breaker is open"
        }
        tone={open > 0 ? "bad" : breakers.length > 0 ? "warn" : "good"}
        href={linkTo("destinations", "", { state: "open" })}
      >
        <Breakers of={breakers.slice(0, listed)} />
      </Card>
      <Failing flows={flows} />
      <Retrying flows={flows} />
      {c && <System of={c} />}
    </section>
  );
}
