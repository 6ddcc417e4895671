import { PassThrough } from "node:stream";
import { expect, test, vi } from "vitest";
import { sayAway } from "../../src/cli/away.ts";
import { columnsOf, cut } from "../../src/cli/columns.ts";
import { printResult, table } from "../../src/cli/output.ts";
import { photoTable } from "../../src/cli/progress.ts";
import { drawStatus, openTerminal, printable, sayStatus, wipeStatus } from "../../src/cli/terminal.ts";
import type { PhotoRow } from "../../src/store/photos.ts";

test("what would draw on a terminal, or turn its text round, is shown as JSON writes it", () => {
  expect(printable("dîner 🍜 é.jpg")).toBe("dîner 🍜 é.jpg");
  expect(printable("\x1b[2J\n\t\x7f\x9b\u202e\u2028")).toBe("\\u001b[2J\\n\\t\\u007f\\u009b\\u202e\\u2028");
});

test("a terminal prints a line as one line, and JSON as the same JSON", () => {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const terminal = openTerminal({ env: {}, stdout: out, stderr: err, stdin: new PassThrough() });
  const key = "a\x1b[2J\x9b\n\u202e.jpg";
  terminal.print(`b/${key}`);
  terminal.print(JSON.stringify({ key }));
  const [line, json, ...rest] = String(out.read()).split("\n");
  expect(line).toBe("b/a\\u001b[2J\\u009b\\n\\u202e.jpg");
  expect(JSON.parse(json!)).toEqual({ key });
  expect(rest).toEqual([""]);
  // its own lines are drawn again and again
  terminal.say("\r3 photos\x1b[K\ndone \x1b[2J\n");
  expect(String(err.read())).toBe("\r3 photos\x1b[K\ndone \\u001b[2J\n");
});

test("cells are as wide as they are seen", () => {
  expect(
    table([
      ["a\n", "b"],
      ["a", "b"],
    ]),
  ).toEqual(["a\\n  b", "a    b"]);
  expect(
    table([
      ["寿司🍣.jpg", "1"],
      ["cafe\u0301.jpg", "2"],
      ["plain.jpg", "3"],
    ]),
  ).toEqual(["寿司🍣.jpg  1", "cafe\u0301.jpg    2", "plain.jpg   3"]);
});

test("a table may have more rows than a call has room for arguments", () => {
  expect(table(Array(150_000).fill(["x"]))).toHaveLength(150_000);
});

test.each([
  ["a", 1],
  ["e\u0301", 1],
  ["日本語", 6],
  ["한글", 4],
  ["\u1112\u1161\u11ab", 2],
  ["ｱ", 1],
  ["Ａ", 2],
  ["☕", 2],
  ["✌", 1],
  ["✌\ufe0f", 2],
  ["👍🏽", 2],
  ["👨\u200d👩\u200d👧", 2],
  ["🇩🇪", 2],
  ["\u200b", 0],
  ["…", 1],
])("%s takes %i columns", (letters, columns) => {
  expect(columnsOf(letters)).toBe(columns);
});

test("a name is cut between letters, to the columns that there are", () => {
  expect(cut("寿司とラーメン.jpg", 18)).toBe("寿司とラーメン.jpg");
  expect(cut("寿司とラーメン.jpg", 11)).toBe("寿司と….jpg");
  expect(cut("👍🏽".repeat(9), 8)).toBe("👍🏽👍🏽…👍🏽");
  for (let most = 2; most < 30; most++)
    expect(columnsOf(cut("a寿e\u0301司".repeat(9), most))).toBeLessThanOrEqual(most);
});

test("a long name is cut in its middle on a terminal, so that it pads no other row, and nowhere else", () => {
  const photo = { store: "folder", bucket: "/p", category: null, categoryScore: null, human: null } as const;
  const rows = ["short.jpg", `2019/${"x".repeat(250)}-end.jpg`].map(
    (key) =>
      ({ ...photo, key, state: "failed", failure: "GONE", reason: "no such file" }) as unknown as PhotoRow,
  );
  const [, first, second] = photoTable(rows, 80);
  expect(first).toMatch(/^short\.jpg +- +- +- +failed {3}GONE: no such file$/);
  expect(second).toMatch(/^2019\/x+…x+-end\.jpg {2}-/);
  expect(first!.length).toBeLessThan(100);
  expect(photoTable(rows, 0)[2]).toContain(rows[1]!.key);
});

test("how far something is stands on one line of a terminal, no wider than it, and what comes next takes its place", () => {
  const said: string[] = [];
  const terminal = { env: {}, print() {}, say: (text: string) => void said.push(text), stdin: [] as never };
  for (const columns of [10, 0]) {
    drawStatus({ ...terminal, columns }, "12 of 4,000 photos");
    sayStatus({ ...terminal, columns }, "13 of 4,000 photos");
    wipeStatus({ ...terminal, columns });
  }
  expect(said).toEqual(["\r12 of 4,0\x1b[K\r", "\r13 of 4,0\x1b[K\r", "\r\x1b[K\r", "13 of 4,000 photos\n"]);
  // by columns as they are seen, also of what is written as JSON does
  drawStatus({ ...terminal, columns: 10 }, "at 寿司と🍣");
  drawStatus({ ...terminal, columns: 10 }, "at \x1b[2J");
  expect(said.slice(-2)).toEqual(["\rat 寿司と\x1b[K\r", "\rat \\u001b\x1b[K\r"]);
});

test("a result is one line of JSON, or what a person reads", () => {
  const printed: string[] = [];
  const terminal = { env: {}, print: (line: string) => void printed.push(line), say() {}, columns: 0 };
  for (const json of [true, false])
    for (const lines of ["done", ["two", "lines"], []])
      printResult({ ...terminal, stdin: [] as never }, json, { id: "1" }, lines);
  expect(printed).toEqual(['{"id":"1"}', '{"id":"1"}', '{"id":"1"}', "done", "two", "lines"]);
});

test("a queue that is away is told of once it has been for a while, and when it is back", () => {
  vi.useFakeTimers();
  const said: string[] = [];
  const { onError, onBack } = sayAway({ say: (text) => said.push(text) });
  const refused = (): void => onError(new Error("connect ECONNREFUSED"));
  refused();
  vi.advanceTimersByTime(4_000);
  onBack();
  vi.advanceTimersByTime(4_000);
  expect(said).toEqual([]);
  for (const again of [0, 1]) {
    refused();
    refused();
    vi.advanceTimersByTime(6_000);
    refused();
    onBack();
    expect(said.slice(2 * again)).toEqual([
      "waits for the queue, which does not answer: connect ECONNREFUSED\n",
      "the queue answers again\n",
    ]);
  }
  vi.useRealTimers();
});
