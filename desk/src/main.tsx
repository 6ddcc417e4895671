import { render } from "preact";
import { App } from "./app.tsx";
import "./style/desk.css";

render(<App />, document.getElementById("app")!);
