/** `npm run scale`: prints what 500 M and 5 G photos take, from the newest files of bench/results. */
import { readFigures, scaleTable } from "./extrapolate.ts";

const figures = readFigures();
process.stdout.write(
  `${scaleTable(figures)}\n\nfrom ${Object.values(figures.files).filter(Boolean).join(" and ")}\n`,
);
