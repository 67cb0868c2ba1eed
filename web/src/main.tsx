import "uplot/dist/uPlot.min.css";
import "./style/index.css";
import { render } from "preact";
import { App } from "./app.tsx";
import { start } from "./data/live.ts";

const root = document.getElementById("app");
if (root) {
  render(<App />, root);
  start();
}
