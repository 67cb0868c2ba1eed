// The keys there are.

import { Dialog } from "./dialog.tsx";
import { helping, pageKeys } from "./keys.ts";

const keys: readonly { keys: string[]; does: string }[] = [
  { keys: ["/", "Ctrl K"], does: "search policies, destinations, workloads, pods, nodes" },
  ...pageKeys.map((p) => ({ keys: [`g ${p.key}`], does: p.title })),
  { keys: ["↑", "↓", "PgUp", "PgDn", "Home", "End"], does: "go through the rows of a table" },
  { keys: ["Enter"], does: "open the row" },
  { keys: ["t"], does: "light, dark, or as the system has it" },
  { keys: ["?"], does: "this list" },
  { keys: ["Esc"], does: "close what is open" },
];

export function Help() {
  const close = () => {
    helping.value = false;
  };
  return (
    <Dialog label="Keys" onClose={close} class="help">
      <h2>Keys</h2>
      <dl>
        {keys.map((k) => (
          <div key={k.does}>
            <dt>
              {k.keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{k.does}</dd>
          </div>
        ))}
      </dl>
      <p class="faint">Every page is a link: its address has what is shown and all filters.</p>
      <button type="button" onClick={close}>
        Close
      </button>
    </Dialog>
  );
}
