// Keeps a mistake in one page from taking the others away.

import { Component } from "preact";
import { Icon } from "./icon.tsx";

interface Props {
  /** What is shown: when it is another, it is tried again. */
  of: string;
  children: preact.ComponentChildren;
}

export class Boundary extends Component<Props, { failed?: string; of?: string }> {
  override componentDidCatch(e: unknown): void {
    console.error(e);
    this.setState({ failed: e instanceof Error ? e.message : String(e), of: this.props.of });
  }

  override render() {
    if (this.state.failed === undefined || this.state.of !== this.props.of) return this.props.children;
    return (
      <p class="note bad" role="alert">
        <Icon name="bad" />
        <span>
          The dashboard made a mistake and cannot show this page: {this.state.failed}. Load it again; kubectl fairlead shows the same in a
          terminal.
        </span>
      </p>
    );
  }
}
